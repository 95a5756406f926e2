# Stressors of stress-ng, each until it has done so much or has had its time, with its own checks. Prints
# which ones found nothing wrong, and all that others said.
set -u
seconds=2
failed=0

stress() {
    local name=$1 operations=$2 said
    shift 2
    said=$(stress-ng --timeout "$seconds" --verify --"$name" 1 --"$name-ops" "$operations" "$@" 2>&1)
    local status=$?
    if [ "$status" -eq 0 ] && ! grep -q 'fail: \|WARNING\|skipp\|aborted' <<<"$said"; then
        echo "$name"
    else
        printf '%s ended with status %d:\n%s\n' "$name" "$status" "$said"
        failed=1
    fi
}

few() { for name; do stress "$name" 10; done; }
many() { for name; do stress "$name" 200; done; }

echo 'processes:'
few clone exec spawn switch vforkmany zombie
many fork session vfork wait

echo 'threads:'
few futex
stress mutex 20000
many pthread yield

echo 'signals and timers:'
few alarm nanosleep sigsuspend
many itimer kill sigabrt sigchld sigfd sigfpe signal signest sigpending sigpipe sigq sigrt sigsegv sigtrap timer timerfd

echo 'pipes and events:'
few epoll pipeherd pty splice tee vm-splice
many eventfd fifo pipe poll sockpair

echo 'memory:'
few bigheap fault memfd mmap mmapfixed mmapfork mmapmany mremap pagemove remap shm stackmmap vm vm-addr vm-rw
many brk malloc mincore mmapaddr mprotect msync munmap stack
stress madvise 1
# It asks for a table of all that may be locked.
(ulimit -l 8192; stress mlock 200; exit "$failed") || failed=1

echo 'System V and semaphores:'
few sem
many msg sem-sysv
stress shm-sysv 100 --shm-sysv-bytes 1m --shm-sysv-segs 8

echo 'files:'
few chdir dirdeep hdd link sendfile symlink
many chmod chown close dentry dir dup fcntl flock fstat full getdent lockf lockofd null open procfs rename seek touch
exit "$failed"
