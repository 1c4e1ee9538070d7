/*
 * A clock that a test can step.  Preloaded into a server (LD_PRELOAD), it adds to
 * the time of day as many microseconds as the file that STEPPING_CLOCK names
 * says, a 64-bit integer: what is written there holds at once for every process.
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
static const volatile int64_t *offset;

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
	page = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
	if (page != MAP_FAILED)
		offset = page;
	close(file);
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	int			result;
	int64_t		microseconds;

	if (real_clock_gettime == NULL)
		real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
	result = real_clock_gettime(clock, now);
	if (result == 0 && clock == CLOCK_REALTIME && offset != NULL)
	{
		microseconds = now->tv_nsec / 1000 + *offset;
		now->tv_nsec %= 1000;
		now->tv_sec += microseconds / 1000000;
		microseconds %= 1000000;
		if (microseconds < 0)
		{
			now->tv_sec--;
			microseconds += 1000000;
		}
		now->tv_nsec += microseconds * 1000;
	}
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
