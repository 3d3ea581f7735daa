/* Includes noise without end. The compiler's memory and time are bounded. */
#include "/dev/random"

int main(void)
{
	return 1;
}
