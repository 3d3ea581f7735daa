/*
 * Reads the keys of its user and session, which have no namespace. The calls
 * are refused.
 */
#include "contained.h"

int main(int argc, char *argv[])
{
	char data[4096];

	contained();
	for (int keyring = -1; keyring >= -8; keyring--) {
		if (syscall(SYS_keyctl, 0 /* GET_KEYRING_ID */, keyring, 0) > 0)
			breach("keyring %d", keyring);
		if (syscall(SYS_keyctl, 11 /* READ */, keyring, data,
			    sizeof(data)) > 0)
			breach("read keyring %d", keyring);
		if (syscall(SYS_add_key, "user", "left", "x", 1, keyring) > 0)
			breach("added a key to %d", keyring);
	}
	if (access("/proc/keys", R_OK) == 0) {
		FILE *keys = fopen("/proc/keys", "r");

		while (keys && fgets(data, sizeof(data), keys))
			if (!strstr(data, "_uid") && !strstr(data, "_ses"))
				breach("key %.30s", data);
	}
	return serve(argc, argv);
}
