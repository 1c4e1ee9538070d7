/*
 * A clock that a test can step, or stop.  Preloaded into a server (LD_PRELOAD), it
 * goes by the file that STEPPING_CLOCK names, of two 64-bit integers: so many
 * microseconds are added to the time of day; or, where the second one is there and
 * not 0, it is so many microseconds after 1970-01-01 00:00 UTC, until something
 * else is written.  What is written there holds at once for every process.
 *
 * (libfaketime has each process read its file again after some time, with stdio,
 * which a signal handler may not use; PostgreSQL's ask what time it is.)
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int	(*real_clock_gettime) (clockid_t, struct timespec *);
static const volatile int64_t *dial;	/* what is added, where it stands */

__attribute__((constructor))
static void
open_clock(void)
{
	const char *name = getenv("STEPPING_CLOCK");
	void	   *page;
	int			file;

	real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
	if (name == NULL || (file = open(name, O_RDONLY)) < 0)
		return;
	/* beyond the end of a file its last page is zero */
	page = mmap(NULL, 2 * sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
	if (page != MAP_FAILED)
		dial = page;
	close(file);
}

/*
 * What the dial makes of the time.
 */
static void
read_dial(struct timespec *now)
{
	int64_t		stands_at = dial[1];
	int64_t		microseconds = now->tv_nsec / 1000 + dial[0];

	now->tv_nsec %= 1000;
	if (stands_at != 0)
	{
		now->tv_sec = now->tv_nsec = 0;
		microseconds = stands_at;
	}
	now->tv_sec += microseconds / 1000000;
	microseconds %= 1000000;
	if (microseconds < 0)
	{
		now->tv_sec--;
		microseconds += 1000000;
	}
	now->tv_nsec += microseconds * 1000;
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	int			result;

	if (real_clock_gettime == NULL)
		real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
	result = real_clock_gettime(clock, now);
	if (result == 0 && clock == CLOCK_REALTIME && dial != NULL)
		read_dial(now);
	return result;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec precise;
	int			result = clock_gettime(CLOCK_REALTIME, &precise);

	now->tv_sec = precise.tv_sec;
	now->tv_usec = precise.tv_nsec / 1000;
	return result;
}

time_t
time(time_t *now)
{
	struct timespec precise;

	clock_gettime(CLOCK_REALTIME, &precise);
	if (now != NULL)
		*now = precise.tv_sec;
	return precise.tv_sec;
}
