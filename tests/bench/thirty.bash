# Thirty commands as scripts have them, on a few small files; each is a process.
set -eu
directory=$(mktemp -d)
cd "$directory"
mkdir -p from/one from/two to
seq 1 2000 > from/one/numbers
sed 's/$/ word/' from/one/numbers > from/two/words
head -n 20 from/two/words > to/head
tail -n 20 from/two/words > to/tail
cat to/head to/tail > to/both
sort -r to/both > to/sorted
uniq to/sorted > to/unique
cut -d ' ' -f 1 to/unique > to/first
tr 0-9 a-j < to/first > to/letters
wc -l to/letters > to/count
grep -c word from/two/words > to/words
cp to/letters to/copy
mv to/copy to/moved
ln -s moved to/link
readlink to/link > to/target
chmod 600 to/moved
touch to/empty
ls -l to > to/listing
find . -type f > to/files
stat -c %s to/listing > to/size
basename "$directory" > to/base
dirname "$directory" > to/dir
sha256sum to/files > to/sum
diff to/letters to/moved
cmp to/letters to/link
gawk '{ sum += $1 } END { print sum }' from/one/numbers > to/total
expr 1 + 2 > to/expression
date +%Y > to/year
rm -r "$directory"
