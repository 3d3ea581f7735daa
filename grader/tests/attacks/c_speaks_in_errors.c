/* The compiler's own words carry commands, in each way that they can. */
#pragma message "\n::error::forged by a message\n##[error]forged"
#pragma GCC warning "\r::error::forged by a warning\x1b]0;title\a"
_Static_assert(0, "\n::add-mask::e\n\033[2J##[group]forged");
#line 1 "\n::error::forged by a name"
#warning here
#line 1 "::error::forged by a name"
#error ::stop-commands::x
#line 7 "\x1b[2J##[error]"
#error ##[error]forged
int ::error;
void gone(void) __attribute__((error("\n::error::forged by an attribute")));

int main(void)
{
	gone();
	return 0;
}
