/* Includes the compiler's environment: it has none of the grader's. */
#include "/proc/self/environ"

int main(void)
{
	return 1;
}
