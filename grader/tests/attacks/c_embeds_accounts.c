/* Has the assembler embed the machine's accounts. Its cell has none. */
__asm__(".section .rodata\n.incbin \"/etc/passwd\"\n.incbin \"/etc/shadow\"");

int main(void)
{
	return 1;
}
