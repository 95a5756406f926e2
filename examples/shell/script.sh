# What POSIX scripts do, for every shell.
set -u
echo "pipeline: $(printf '%s\n' pear apple fig | sort | tr '\n' ' ')"
(cd /usr; echo "subshell: $(pwd)"); echo "still: $(pwd)"
cat <<END
here: $(echo inside)
END
sleep 0.05 & wait $!; echo "slept: $?"
(exit 5) & wait $!; echo "background: $?"
trap 'echo trapped' USR1; kill -USR1 $$; trap - USR1
sh -c 'kill -TERM $$'; echo "killed: $?"
true | false; echo "status: $?"
echo text > /tmp/file; { read -r line; echo "read: $line"; } < /tmp/file
n=0; while [ $n -lt 10 ]; do n=$((n + 1)); /bin/true; done; echo "loops: $n"
seq 1 1000 | { sum=0; while read -r i; do sum=$((sum + i)); done; echo "sum: $sum"; }
case $(uname -s) in Linux) echo "on Linux";; esac
find /usr/bin -name 'b*sh' | sort | xargs -n 1 echo found
exit 3
