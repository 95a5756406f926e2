/* Says what an enclave gives a program: arguments, an environment, files and memory. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void show_file(const char *path) {
    char line[128];
    FILE *file = fopen(path, "r");
    if (!file) {
        printf("%s: %s\n", path, strerror(errno));
        return;
    }
    while (fgets(line, sizeof line, file))
        printf("%s: %s", path, line);
    fclose(file);
}

int main(int argc, char **argv) {
    const char *greeting = getenv("GREETING");
    printf("%s from an enclave\n", greeting ? greeting : "hello");
    for (int i = 0; i < argc; i++)
        printf("argument %d: %s\n", i, argv[i]);
    show_file("/etc/motd");
    FILE *note = fopen("/tmp/note", "w");
    if (!note || fputs("written and read again\n", note) < 0 || fclose(note)) {
        perror("/tmp/note");
        return 1;
    }
    show_file("/tmp/note");
    return 0;
}
