"""The peers: a three-node RabbitMQ cluster and one Redis, on ports and directories of their own, loopback only."""
import os
import shutil

from processes import free_ports, port_open, run, wait_until

RABBITMQ_BIN = "/usr/lib/rabbitmq/bin"


class RabbitCluster:
    """Three nodes with the package's default configuration; quorum queues have three members."""

    def __init__(self, group, directory, nodes=3):
        self.directory = directory
        shutil.rmtree(directory, ignore_errors=True)
        home = os.path.join(directory, "home")
        os.makedirs(home)
        ports = free_ports(2 * nodes + 1)
        self.ports = ports[:nodes]
        self.names = [f"bench{i}@localhost" for i in range(nodes)]
        epmd_port = ports[-1]
        config = os.path.join(directory, "rabbitmq.conf")
        with open(config, "w") as f:
            f.write("loopback_users = none\ncluster_formation.peer_discovery_backend = classic_config\n")
            for i, name in enumerate(self.names):
                f.write(f"cluster_formation.classic_config.nodes.{i + 1} = {name}\n")
        plugins = os.path.join(directory, "plugins")
        with open(plugins, "w") as f:
            f.write("[].\n")
        self.common = dict(os.environ, HOME=home, LC_ALL="C.UTF-8", ERL_EPMD_ADDRESS="127.0.0.1", ERL_EPMD_PORT=str(epmd_port))
        group.start(["epmd", "-address", "127.0.0.1", "-port", str(epmd_port)], os.path.join(directory, "epmd.log"), env=self.common)
        wait_until(lambda: port_open(epmd_port), 10, "epmd")
        self.processes = []
        for i, name in enumerate(self.names):
            base = os.path.join(directory, f"node{i}")
            os.makedirs(base)
            env = dict(self.common, RABBITMQ_NODENAME=name, RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
                       RABBITMQ_NODE_PORT=str(self.ports[i]), RABBITMQ_DIST_PORT=str(ports[nodes + i]),
                       RABBITMQ_MNESIA_BASE=base, RABBITMQ_LOG_BASE=base, RABBITMQ_CONFIG_FILE=config,
                       RABBITMQ_ENABLED_PLUGINS_FILE=plugins, RABBITMQ_PID_FILE=os.path.join(base, "pid"),
                       RABBITMQ_CONF_ENV_FILE=os.path.join(directory, "none"),
                       RABBITMQ_ADVANCED_CONFIG_FILE=os.path.join(directory, "none.config"))
            self.processes.append(group.start([f"{RABBITMQ_BIN}/rabbitmq-server"], os.path.join(base, "out.log"), env=env))
            # One after the other: the first makes the cluster, the others find it. Also shares one Erlang cookie.
            wait_until(lambda: self.processes[-1].check_alive() and port_open(self.ports[i]), 90, f"RabbitMQ {name}")
        run([f"{RABBITMQ_BIN}/rabbitmqctl", "-n", self.names[0], "await_online_nodes", str(nodes), "--timeout", "60"], env=self.common)

    def port_arguments(self):
        return [argument for port in self.ports for argument in ("--port", str(port))]


def start_redis(group, directory):
    """appendfsync always; no snapshots, no rewriting. Returns the port."""
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    port = free_ports(1)[0]
    process = group.start(["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", directory, "--appendonly", "yes",
                           "--appendfsync", "always", "--save", "", "--auto-aof-rewrite-percentage", "0", "--daemonize", "no"],
                          os.path.join(directory, "log"))
    wait_until(lambda: process.check_alive() and port_open(port), 20, "Redis")
    return port
