// A long and always equal series of mapping calls, after each of which the memory must hold what
// was put there. The exit status is the line of the first check that fails.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
#define COUNT 100
#define STEPS 10000
#define CHECK(condition) do { if (!(condition)) { \
    dprintf(2, "line %d: errno %d\n", __LINE__, errno); _exit(__LINE__); } } while (0)

// `is_mended`: a part was replaced, and Linux does not promise that it is one mapping again.
struct piece { char *start; size_t len; int is_mended; };

static unsigned seed = 1;

static size_t a_length(void) { return (1 + rand_r(&seed) % 20) * PAGE; }

static void map(struct piece *piece) {
    if (piece->start) CHECK(munmap(piece->start, piece->len) == 0);
    piece->len = a_length();
    piece->start = mmap(0, piece->len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(piece->start != MAP_FAILED);
    piece->is_mended = 0;
    CHECK(piece->start[piece->len - 1] == 0);
}

static void resize(struct piece *piece, char mark) {
    if (piece->is_mended) return;
    size_t len = a_length();
    char *moved = mremap(piece->start, piece->len, len, MREMAP_MAYMOVE);
    CHECK(moved != MAP_FAILED);
    CHECK(moved[0] == mark);
    if (len > piece->len) CHECK(moved[len - 1] == 0);
    *piece = (struct piece){moved, len, 0};
}

// One page is protected and back, so the piece is one mapping again.
static void protect(struct piece *piece, char mark) {
    CHECK(mprotect(piece->start, PAGE, PROT_READ) == 0);
    CHECK(piece->start[0] == mark);
    CHECK(mprotect(piece->start, PAGE, PROT_READ | PROT_WRITE) == 0);
}

static void punch(struct piece *piece) {
    char *middle = piece->start + piece->len / 2 / PAGE * PAGE;
    CHECK(munmap(middle, PAGE) == 0);
    CHECK(mmap(middle, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
          == middle);
    piece->is_mended = 1;
    CHECK(middle[0] == 0);
}

static void forget(struct piece *piece) {
    CHECK(madvise(piece->start, PAGE, MADV_DONTNEED) == 0);
    CHECK(piece->start[1] == 0);
}

// Of what is not all mapped, or is cut off on the way.
static void gaps(void) {
    char *start = mmap(0, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(start != MAP_FAILED && munmap(start + 2 * PAGE, PAGE) == 0);
    // What is before the gap has changed.
    CHECK(mprotect(start, 8 * PAGE, PROT_READ) < 0 && errno == ENOMEM);
    CHECK(pread(open("/dev/zero", O_RDONLY), start, 1, 0) < 0 && errno == EFAULT);
    start[3 * PAGE] = 1;
    CHECK(mprotect(start, 2 * PAGE, PROT_READ | PROT_WRITE) == 0);
    start[PAGE] = 7;
    // A gap in what is cut off is none of mremap's business.
    CHECK(mremap(start + PAGE, 4 * PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, start + 8 * PAGE) == start + 8 * PAGE);
    CHECK(start[8 * PAGE] == 7 && start[5 * PAGE] == 0);
    CHECK(madvise(start + PAGE, PAGE, MADV_NORMAL) < 0 && errno == ENOMEM);
    CHECK(madvise(start + 4 * PAGE, PAGE, MADV_NORMAL) < 0 && errno == ENOMEM);
    CHECK(mremap(start + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, start + PAGE) == MAP_FAILED && errno == EINVAL);
    int file = open("/tmp/copied", O_RDWR | O_CREAT, 0600);
    CHECK(file >= 0 && ftruncate(file, PAGE) == 0);
    CHECK(mmap(start, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, 0) == start);
    CHECK(madvise(start, PAGE, MADV_REMOVE) < 0 && errno == EACCES);
    CHECK(madvise(start + 8 * PAGE, PAGE, MADV_REMOVE) < 0 && errno == EINVAL);
    CHECK(munmap(start, 16 * PAGE) == 0 && close(file) == 0);
}

int main(void) {
    gaps();
    static struct piece pieces[COUNT];
    for (int step = 0; step < STEPS; step++) {
        int index = rand_r(&seed) % COUNT;
        struct piece *piece = &pieces[index];
        char mark = (char)(index + 1);
        int action = piece->start ? rand_r(&seed) % 5 : 0;
        switch (action) {
        case 0: map(piece); break;
        case 1: resize(piece, mark); break;
        case 2: protect(piece, mark); break;
        case 3: punch(piece); break;
        default: forget(piece); break;
        }
        memset(piece->start, mark, piece->len);
    }
    CHECK(mmap(0, 1UL << 60, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    CHECK(errno == ENOMEM);
    CHECK(mmap(0, -1UL, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    // A wish counts for addresses of 31 bits, too.
    int how = MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT;
    char *low = mmap(0, 64 * PAGE, PROT_READ, how, -1, 0);
    CHECK(low != MAP_FAILED && (unsigned long)low < 1UL << 31 && munmap(low, 64 * PAGE) == 0);
    CHECK(mmap(low + 8 * PAGE, PAGE, PROT_READ, how, -1, 0) == low + 8 * PAGE);
    puts("every page was as it should be");
    return 0;
}
