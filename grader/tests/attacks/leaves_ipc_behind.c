/*
 * Leaves System V and POSIX objects behind, which outlive processes, and looks
 * for those of others. The cell has a namespace for them, and they are refused.
 */
#include "contained.h"

#include <mqueue.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

int main(int argc, char *argv[])
{
	struct shminfo info;

	contained();
	if (shmget(0x4563, 4096, IPC_CREAT | 0666) >= 0)
		breach("shmget");
	if (semget(0x4563, 1, IPC_CREAT | 0666) >= 0)
		breach("semget");
	if (msgget(0x4563, IPC_CREAT | 0666) >= 0)
		breach("msgget");
	if (mq_open("/left", O_CREAT | O_RDWR, 0666, NULL) >= 0)
		breach("mq_open");
	if (shmctl(0, IPC_INFO, (struct shmid_ds *)&info) > 0)
		breach("there is shared memory of others");
	return serve(argc, argv);
}
