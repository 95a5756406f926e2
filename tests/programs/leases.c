// Files that somebody has to themselves, and directories that are told about by signals.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void check(int ok, const char *what) {
    printf("%s: %s\n", what, ok ? "ok" : "WRONG");
    fflush(stdout);
}

#define FAILS(call, error) (errno = 0, (call) == -1 && errno == (error))
#define TOLD (SIGRTMIN + 2)

static sigset_t set;
static siginfo_t last;

// Whether a signal of ours comes within a time; `last` says what it says.
static int told(int ms) {
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    return sigtimedwait(&set, &last, &time) == TOLD;
}

static void leases(void) {
    int fd = open("file", O_CREAT | O_RDWR, 0666), other;
    check(fcntl(fd, F_GETLEASE) == F_UNLCK, "no lease");
    check(FAILS(fcntl(fd, F_SETLEASE, F_RDLCK), EAGAIN), "who writes gets none to read");
    check(fcntl(fd, F_SETLEASE, F_WRLCK) == 0, "but one to write");
    check(fcntl(fd, F_GETLEASE) == F_WRLCK, "that is it");
    check(fcntl(fd, F_GETOWN) == getpid(), "the signals are for whoever asked");
    fcntl(fd, F_SETSIG, TOLD);
    check(FAILS(open("file", O_RDONLY | O_NONBLOCK), EAGAIN), "others are kept from it");
    check(told(1000) && last.si_fd == fd && last.si_code == POLL_MSG, "and it is told");
    check(fcntl(fd, F_GETLEASE) == F_RDLCK, "what it is to become");
    check(!told(50), "once");
    check(fcntl(fd, F_SETLEASE, F_UNLCK) == 0, "it lets go");
    check(FAILS(fcntl(fd, F_SETLEASE, F_UNLCK), EAGAIN), "there is no more");
    other = open("file", O_RDONLY | O_NONBLOCK);
    check(other >= 0, "others open it");
    check(FAILS(fcntl(fd, F_SETLEASE, F_WRLCK), EAGAIN), "then nobody has it alone");
    close(fd);
    check(fcntl(other, F_SETLEASE, F_RDLCK) == 0, "who only reads");
    fcntl(other, F_SETSIG, TOLD);
    fd = open("file", O_RDONLY);
    check(fd >= 0 && !told(50), "is not alone in that");
    close(fd);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        // A child has the same open file; it does not hold the lease by itself.
        close(other);
        fd = open("file", O_WRONLY);
        _exit(fd >= 0 ? 0 : 1);
    }
    check(told(2000) && last.si_fd == other, "somebody wants to write");
    int status;
    usleep(50000);
    check(waitpid(child, &status, WNOHANG) == 0, "and waits");
    check(fcntl(other, F_SETLEASE, F_UNLCK) == 0, "until it may");
    waitpid(child, &status, 0);
    check(status == 0, "which it then does");
    check(fcntl(other, F_SETLEASE, F_RDLCK) == 0, "another one");
    close(other);
    fd = open("file", O_WRONLY | O_NONBLOCK);
    check(fd >= 0 && !told(50), "goes with the open file");
    close(fd);
    check(FAILS(fcntl(open(".", O_RDONLY), F_SETLEASE, F_RDLCK), EINVAL), "no directory has one");
    fflush(stdout);
    if (fork() == 0) {
        if (setresuid(1000, 1000, 1000)) _exit(1);
        check(FAILS(fcntl(open("file", O_RDONLY), F_SETLEASE, F_RDLCK), EACCES), "nor who is not the owner");
        _exit(0);
    }
    wait(NULL);
    unlink("file");
}

static void directories(void) {
    int fd = open(".", O_RDONLY);
    check(FAILS(fcntl(open("/dev/null", O_RDONLY), F_NOTIFY, DN_CREATE), ENOTDIR), "no file");
    fcntl(fd, F_SETSIG, TOLD);
    check(fcntl(fd, F_NOTIFY, DN_CREATE) == 0, "told of new names");
    close(open("new", O_CREAT | O_RDWR, 0644));
    check(told(1000) && last.si_fd == fd && last.si_code == POLL_MSG, "one came");
    close(open("newer", O_CREAT | O_RDWR, 0644));
    check(!told(50), "once");
    check(fcntl(fd, F_NOTIFY, DN_DELETE | DN_MULTISHOT) == 0, "of names that go");
    check(fcntl(fd, F_NOTIFY, DN_ATTRIB | DN_MULTISHOT) == 0, "and attributes");
    unlink("new");
    check(told(1000), "one went");
    chmod("newer", 0600);
    check(told(1000), "one changed");
    rename("newer", "newest");
    check(told(1000), "one went elsewhere");
    check(fcntl(fd, F_NOTIFY, DN_RENAME | DN_MULTISHOT) == 0, "of names that change");
    while (told(50)) {}
    mkdir("below", 0755);
    rename("newest", "below/newest");
    check(told(1000), "it went below, which is told as gone");
    check(!told(50), "and not as another name");
    rename("below", "under");
    check(told(1000) && !told(0) == 0, "one has another name, and its old one is gone");
    rename("under/newest", "newest");
    rmdir("under");
    check(fcntl(fd, F_NOTIFY, 0) == 0, "of nothing any more");
    while (told(50)) {}
    unlink("newest");
    check(!told(50), "nothing is told");
    close(fd);
}

int main(void) {
    char directory[] = "/tmp/leasesXXXXXX";
    if (!mkdtemp(directory) || chmod(directory, 0755) || chdir(directory)) return 1;
    sigemptyset(&set), sigaddset(&set, TOLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    leases();
    directories();
    return rmdir(directory) ? 1 : 0;
}
