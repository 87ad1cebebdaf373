#!/bin/sh
# Sends an alarm to a group, and returns once the relay has it for every device of the group: from then on it reaches
# whoever is asleep or offline, and a new device of a recipient holds up nothing. A relay that is down holds it up, and neither
# loses it nor sends it twice.
#
#   alarm.sh GROUP TEXT [OPTION…]
#   alarm.sh Crew 'Boiler 2: 104 degrees' --home /var/lib/alarm --key-file /etc/alarm.key
#
# The options are those that every command of the device takes. Prints {"id":…,"state":"sent"}. What arrives meanwhile for the
# device itself is printed to stderr. ALARM_PAUSE says how many seconds to wait between two attempts: 5.
set -eu
if [ $# -lt 2 ]; then
    echo 'usage: alarm.sh GROUP TEXT [OPTION…]' >&2
    exit 64
fi
group=$1 text=$2
shift 2

# The value of a field in lines of --json. What a message says cannot pass for a field: its quotes are escaped.
field() {
    sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"
}

code=0
sent=$(chancery group send "$group" --json "$@" -- "$text") || code=$?
id=$(echo "$sent" | field id)
# Without an identifier nothing was stored, and the error on stderr says why.
[ -n "$id" ] || exit "$code"

state=$(echo "$sent" | field state)
while [ "$state" = queued ]; do
    sleep "${ALARM_PAUSE:-5}"
    # Any command that connects sends what waits. Sending the alarm again would send it twice.
    chancery receive --json "$@" >&2 || true
    state=$(chancery group history "$group" --json "$@" | grep -F "\"id\":\"$id\"" | field state)
done
echo "{\"id\":\"$id\",\"state\":\"$state\"}"
[ "$state" != failed ]
