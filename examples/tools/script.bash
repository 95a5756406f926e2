# The usual tools on a tree of a few thousand files.
set -eu
cd /tmp; mkdir tree; cd tree
for d in $(seq 1 40); do mkdir "d$d"; done
seq 1 2000 | while read -r i; do echo "line $i" > "d$((i % 40 + 1))/f$i.txt"; done
echo "files: $(find . -type f | wc -l)"
echo "matching: $(grep -rl 'line 1..$' . | wc -l)"
find . -name 'f1??.txt' -print0 | xargs -0 cat | sort -k2n | md5sum
awk '{ sum += $2 } END { print "sum:", sum }' d*/f*.txt
sed -i 's/line/LINE/' d1/*.txt; grep -h LINE d1/*.txt | sort -u | head -n 3
cp -r . ../copy; rm ../copy/d2/f1.txt; diff -r . ../copy || true
for method in gzip xz; do
    tar -c --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner . | "$method" -c > "../tree.$method"
    "$method" -dc < "../tree.$method" | tar -t | wc -l
done
mkdir ../out; tar -C ../out -xf ../tree.xz; diff -r . ../out && echo "same after tar and xz"
ls d3 | head -n 3; du -a d3 | wc -l; stat -c '%F %s %n' d3/f2.txt
chmod 600 d3/f2.txt; ln -s f2.txt d3/link; ln d3/f2.txt d3/hard; stat -c '%a %h' -L d3/link
mv d3/f2.txt d3/moved; readlink d3/link; wc -l < d3/hard
find . -type f -size -2 -newer d1 | wc -l > /dev/null
split -l 100 -d <(seq 1 1000) part; cat part0* | cksum; rm -r ../tree/d*
perl -e 'my %h = map { $_ => length } qw(one three eleven); print join(",", map {"$_=$h{$_}"} sort keys %h), "\n"; system("echo from perl"); print `echo quoted`;'
