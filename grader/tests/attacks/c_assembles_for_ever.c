/* Has the assembler repeat itself. Its time, memory and files are bounded. */
__asm__(".rept 100000000\n.rept 100\n.quad 1, 2, 3, 4\n.endr\n.endr");

int main(void)
{
	return 1;
}
