/* An array of 32 GiB that has to be written out. Files are bounded. */
char array[32ul << 30] = {1};

int main(void)
{
	return array[0];
}
