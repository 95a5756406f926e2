/* A dynamic program: the C library comes from the distribution, not from the compiler. */
#include <gnu/libc-version.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void *work(void *argument) {
    int *number = argument;
    for (int i = 0; i < 1000; i++)
        *number += i;
    return number;
}

int main(void) {
    pthread_t threads[3];
    int numbers[3] = {0, 1, 2};
    for (int i = 0; i < 3; i++)
        if (pthread_create(&threads[i], NULL, work, &numbers[i]))
            return 1;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    printf("hello from glibc %s\n", gnu_get_libc_version());
    printf("threads say %d %d %d\n", numbers[0], numbers[1], numbers[2]);
    return 0;
}
