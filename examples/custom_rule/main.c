/* Greets in every language that the build knows. */
#include <stdio.h>

#include "greetings.h"

int main(void) {
    for (const struct translation *one = translations; one->language; one++)
        printf("%s: %s, enclave! %s!\n", one->language, one->greeting, one->farewell);
    return 0;
}
