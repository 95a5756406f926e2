// A long and always equal series of mapping calls, after each of which the memory must hold what
// was put there. The exit status is the line of the first check that fails.
#define _GNU_SOURCE
#include <errno.h>
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

int main(void) {
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
