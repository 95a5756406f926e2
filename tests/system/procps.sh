# What procps finds out of /proc about the processes of an enclave and about its memory.
set -eu
export TERM=dumb
sleep 100 &
sleeper=$!

echo 'ps:'
ps -e -o pid,ppid,s,comm,args
[ "$(ps -o lstart= -p $$)" != "$(date -d @0 '+%a %b %e %H:%M:%S %Y')" ]
ps -eLf > /tmp/threads # not a pipeline: its other end may not be there yet
wc -l < /tmp/threads

echo 'pgrep:'
[ "$(pgrep -x sleep)" = "$sleeper" ]
pgrep -l -P $$ sleep
[ "$(pgrep -f 'sleep 100')" = "$sleeper" ]

echo 'top:'
top -b -n 1 | grep -c '[s]leep$'

echo 'memory and time:'
free -k | awk '/^Mem:/ { print "total", $2, ($3 + $4 <= $2) }'
uptime | grep -c 'load average'
vmstat | awk 'NR == 3 { print "free", ($4 > 0) }'
pmap $$ | grep -c 'libc.so.6' | awk '{ print "maps of libc", ($1 > 3) }'
pwdx $$

pkill -TERM -x sleep
wait "$sleeper" || echo "ended with $?"
