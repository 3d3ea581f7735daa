/*
 * Put in front of a program, this makes it hesitate: now and then it stands
 * still at a system call for 0.1 to 3.2 ms, like a program that loses the
 * processor to another. Things then happen between any two calls of a server;
 * a verdict must not depend on that.
 *
 * It burns processor time to wait, because a sleep would be seen as a sleep,
 * but no more than a hundredth of the time that passes, or it would be seen as
 * busy.
 */
#define _GNU_SOURCE
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static long hesitations; /* so far, for the test of this header */

static inline long long hesitant_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static inline void hesitate(void)
{
	static __thread unsigned int dice;
	static __thread long long not_before;
	long long now = hesitant_now(), pause;

	dice = (dice ? dice : (unsigned int)now) * 1664525U + 1013904223U;
	if (now < not_before || dice >> 29 != 0)
		return;
	pause = 100000LL << (dice >> 24 & 31) % 6;
	while (hesitant_now() < now + pause)
		;
	not_before = now + 100 * pause;
	hesitations++;
}

/*
 * errno is still what the call left: clock_gettime() does not fail. The headers
 * above come first because they declare these names.
 */
#define HESITANT(call)                                                         \
	__extension__({                                                        \
		hesitate();                                                    \
		__auto_type result_ = call;                                    \
		hesitate();                                                    \
		result_;                                                       \
	})

#define accept(...) HESITANT(accept(__VA_ARGS__))
#define accept4(...) HESITANT(accept4(__VA_ARGS__))
#define close(...) HESITANT(close(__VA_ARGS__))
#define epoll_ctl(...) HESITANT(epoll_ctl(__VA_ARGS__))
#define epoll_wait(...) HESITANT(epoll_wait(__VA_ARGS__))
#define listen(...) HESITANT(listen(__VA_ARGS__))
#define read(...) HESITANT(read(__VA_ARGS__))
#define recv(...) HESITANT(recv(__VA_ARGS__))
#define send(...) HESITANT(send(__VA_ARGS__))
#define shutdown(...) HESITANT(shutdown(__VA_ARGS__))
#define write(...) HESITANT(write(__VA_ARGS__))

#line 1
