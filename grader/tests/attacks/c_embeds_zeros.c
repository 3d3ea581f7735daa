/* Has the assembler embed a file without end. Its memory is bounded. */
__asm__(".section .rodata\n.incbin \"/dev/zero\"");

int main(void)
{
	return 1;
}
