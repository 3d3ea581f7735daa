/* Includes a file without end. The compiler's memory and time are bounded. */
#include "/dev/zero"

int main(void)
{
	return 1;
}
