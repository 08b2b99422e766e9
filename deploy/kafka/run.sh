#!/bin/sh
# Runs one real Kafka broker (KRaft, broker and controller in one process) on loopback, for tests.
#
#   run.sh jars DIR                              fetches Kafka and what it needs into DIR, by Maven
#   run.sh broker DIR DATA PORT CONTROLLER_PORT [NODE VOTERS]
#                                                runs a broker from the jars in DIR; its state stays in DATA. NODE, a number, and VOTERS, as
#                                                1@127.0.0.1:9093,2@..., make it one of a cluster of three or more. ADVERTISE=HOST:PORT in
#                                                the environment is what clients are told to use, where something stands between
#
# The broker runs in the foreground until it gets a signal; a second run on the same DATA finds its log and offsets again.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

case "${1:-}" in
jars)
  [ $# -eq 2 ] || { echo "usage: run.sh jars DIR" >&2; exit 2; }
  mkdir -p "$2"
  exec mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$(cd "$2" && pwd)"
  ;;
broker)
  [ $# -eq 5 ] || [ $# -eq 7 ] || { echo "usage: run.sh broker DIR DATA PORT CONTROLLER_PORT [NODE VOTERS]" >&2; exit 2; }
  ;;
*)
  sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac

jars=$2 data=$3 port=$4 controller=$5 node=${6:-1}
voters=${7:-1@127.0.0.1:$controller}
replicas=1 insync=1
[ $# -eq 5 ] || { replicas=3 insync=2; }
mkdir -p "$data"
# No rebalance delay: a test's first member must not wait 3 s for others. No topics by accident: a misspelt name is an error.
cat > "$data/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=$node
controller.quorum.voters=$voters
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://${ADVERTISE:-127.0.0.1:$port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs=$data/log
auto.create.topics.enable=false
default.replication.factor=$replicas
min.insync.replicas=$insync
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.retention.check.interval.ms=1000
PROPERTIES

set -- java -Xms128m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
  -Dlog4j2.configurationFile="$here/log4j2.yaml" -cp "$jars/*"

if [ ! -e "$data/log/meta.properties" ]; then
  "$@" kafka.tools.StorageTool format -t ZHdpYXJhaC1rYWZrYS0wMQ -c "$data/server.properties" > "$data/format.log" 2>&1 ||
    { cat "$data/format.log" >&2; exit 1; }
fi
exec "$@" kafka.Kafka "$data/server.properties"
