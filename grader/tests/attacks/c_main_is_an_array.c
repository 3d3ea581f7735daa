/* There is no function main, but an array. It dies as it starts. */
const char main[] = {0};
