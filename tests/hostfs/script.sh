# The host lends /mnt/in to be read and /mnt/out to be changed.
set -u
cmp /mnt/in/script.sh /script.sh && echo 'read: the same'
(echo x > /mnt/in/new) 2>/dev/null || echo 'read-only: no new file'
rm /mnt/in/script.sh 2>/dev/null || echo 'read-only: nothing is removed'

cp /mnt/in/script.sh /mnt/out/copy
mkdir -p /mnt/out/deep/er
mv /mnt/out/old /mnt/out/deep/er/moved
ls -R /mnt/out | grep -v '^$'

seq 1 100000 > /mnt/out/numbers
sort -rn /mnt/out/numbers | head -n 1
truncate -s 10 /mnt/out/numbers
wc -c < /mnt/out/numbers
echo more >> /mnt/out/numbers
tail -n 1 /mnt/out/numbers
rm /mnt/out/numbers
[ -e /mnt/out/numbers ] || echo 'removed'

ln -s copy /mnt/out/link && readlink /mnt/out/link && cmp /mnt/out/link /script.sh && rm /mnt/out/link
cp /bin/true /mnt/out/program && chmod 755 /mnt/out/program
/mnt/out/program 2>/dev/null || echo "executed from the host: $?"
