/* A macro of two to the power of forty additions. Memory and time are bounded.
 */
#define A(x) x + x
#define B(x) A(A(A(A(A(A(A(A(x))))))))
#define C(x) B(B(B(B(B(x)))))

int main(void)
{
	return C(1);
}
