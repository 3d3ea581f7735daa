/* Includes the environment of the process above the compiler. */
#include "/proc/1/environ"

int main(void)
{
	return 1;
}
