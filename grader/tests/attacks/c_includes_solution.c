/* Includes a solution, by its absolute path. The compiler's cell has none. */
#include SOLUTION
