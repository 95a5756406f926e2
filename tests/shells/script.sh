# What shells do with processes. Its output and status are the same in dash, bash and busybox.
set -u
echo "one $(echo two) $(echo three | tr a-z A-Z)"
printf 'c\nb\na\n' | sort | tr '\n' ' '; echo
(cd /tmp; x=inner; echo "subshell $x in $(pwd)"); echo "outside ${x-unset}"
cat <<END | sed 's/^/> /'
here $((6 * 7))
document
END
for i in 1 2 3; do echo "$i"; done | while read -r n; do echo "line $n"; done
sleep 0.2 & job=$!
wait $job; echo "background $?"
(exit 3); echo "status $?"
false | true; echo "pipe $?"
sh -c 'kill -TERM $$'; echo "killed $?"
trap 'echo trapped' USR1
kill -USR1 $$
trap 'echo leaving' EXIT
seq 1 20000 | tail -n 1
yes | head -n 100000 | wc -l
echo text > /tmp/file; cat < /tmp/file; wc -c < /tmp/file
find /usr/bin -name 'sor*' | sort | head -n 1
f() { echo "function $1"; return 4; }
f a | cat; f b; echo "returned $?"
i=0; while [ $i -lt 20 ]; do i=$((i + $(echo 1))); done; echo "counted $i"
if echo abc | grep -q b; then echo found; fi
exec 3> /tmp/three; echo three >&3; exec 3>&-; cat /tmp/three
ls /nowhere 2> /dev/null || echo "missing"
