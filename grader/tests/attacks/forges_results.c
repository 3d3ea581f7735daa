/*
 * Writes a result with full marks wherever the grader could take it from.
 * Nothing of that is in its cell; in its own /tmp it may write what it likes.
 */
#include "contained.h"

int main(void)
{
	static const char forged[] =
		"{\"schema\": \"echolab/result/v1\", \"score\": 100, "
		"\"max_score\": 100, \"forged\": true}";
	static const char *const places[] = {
		JSON_FILE,
		"/result.json",
		"/results.json",
		"/results/results.json",
		"/autograder/results/results.json",
		"/build/result.json",
		"/report.json",
		"/junit.xml",
		"/dev/shm/result.json",
		REPOSITORY "/result.json",
		REPOSITORY "/grader/stages/1/stage.toml",
		SUBMISSION "/result.json",
		HOME_FOLDER "/canary",
		"/github/workspace/result.json",
		"/proc/1/root/result.json",
	};

	contained();
	for (size_t i = 0; i < COUNT(places); i++) {
		int fd = open(places[i], O_WRONLY | O_CREAT, 0666);

		if (fd >= 0 && write(fd, forged, sizeof(forged) - 1) > 0)
			breach("wrote %s", places[i]);
		rename("/tcp_server", places[i]);
	}
	mkdir("/tmp/report", 0777);
	if (freopen("/tmp/result.json", "w", stdout))
		fputs(forged, stdout);
	fputs(forged, stderr);
	return EXIT_FAILURE;
}
