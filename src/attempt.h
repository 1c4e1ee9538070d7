/*
 * attempt.h
 *		Doing something that may fail, and surviving it.
 */
#ifndef CAC_ATTEMPT_H
#define CAC_ATTEMPT_H

typedef void (*AttemptFunction) (void *arg);

extern bool cac_attempt(AttemptFunction function, void *arg, int timeout_ms,
						ErrorData **error);

#endif							/* CAC_ATTEMPT_H */
