# A repository is made, cloned and read; a program is compiled, linked and run.
set -eu
export HOME=/tmp GIT_AUTHOR_DATE='@0 +0000' GIT_COMMITTER_DATE='@0 +0000'
export GIT_AUTHOR_NAME=one GIT_AUTHOR_EMAIL=one@example.org GIT_COMMITTER_NAME=one GIT_COMMITTER_EMAIL=one@example.org
cd /tmp; git -c init.defaultBranch=main init -q hello; cd hello
cp /srv/hello.c .; git add hello.c; git commit -q -m 'Say hello'
sed -i 's/hello/good day/' hello.c; git commit -q -am 'Be polite'
git clone -q /tmp/hello /tmp/clone; cd /tmp/clone
git log --format='%h %s'; git diff --stat HEAD~ | tail -n 1; git fsck
gcc -O2 -Wall -o hello hello.c
./hello from gcc
