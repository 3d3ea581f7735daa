/* Includes itself without end. The compiler bounds that by itself. */
#include __FILE__
#include __FILE__
