/* The milestones of stage N: one for each function that line_reverser.h names.
 */
#include "milestones.h"
#include "line_reverser.h"

#include <string.h>

#pragma weak create_server
#pragma weak reverse_line

START_TEST(test_create_server)
{
	NEED(create_server);
	try_create_server(create_server);
}
END_TEST

START_TEST(test_reverse_line)
{
	char line[] = "abc\n";

	NEED(reverse_line);
	reverse_line(line, strlen(line));
	ck_assert_msg(strcmp(line, "cba\n") == 0,
		      "reverse_line() did not make \"cba\" of \"abc\", or "
		      "moved the newline");
}
END_TEST

int main(void)
{
	const struct milestone milestones[] = {
		MILESTONE(create_server),
		MILESTONE(reverse_line),
	};

	return run_milestones(milestones,
			      sizeof(milestones) / sizeof(milestones[0]));
}
