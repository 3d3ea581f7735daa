/*
 * Takes loopback down, takes its address away, adds routes, reads others'
 * packets, and sets what the network's files in /proc let one set. That needs
 * capabilities in the network's namespace, which the cell does not have.
 */
#include "contained.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>

static void over_netlink(int type)
{
	struct {
		struct nlmsghdr head;
		struct ifaddrmsg address;
		struct rtattr attribute;
		uint32_t ip;
	} request = {
		.head = {.nlmsg_len = sizeof(request),
			 .nlmsg_type = (uint16_t)type,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		.address = {.ifa_family = AF_INET,
			    .ifa_prefixlen = 8,
			    .ifa_index = 1},
		.attribute = {.rta_len = 8, .rta_type = IFA_LOCAL},
		.ip = htonl(INADDR_LOOPBACK),
	};
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char more[256];
	} answer = {.error = {.error = -1}};
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

	if (fd < 0 || send(fd, &request, sizeof(request), 0) < 0 ||
	    recv(fd, &answer, sizeof(answer), 0) < 0)
		return;
	if (answer.head.nlmsg_type == NLMSG_ERROR && answer.error.error == 0)
		breach("rtnetlink took message %d", type);
}

static void over_ioctl(void)
{
	struct ifreq request = {.ifr_name = "lo"};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	request.ifr_flags = 0;
	if (ioctl(fd, SIOCSIFFLAGS, &request) == 0)
		breach("loopback is down");
	request.ifr_mtu = 68;
	if (ioctl(fd, SIOCSIFMTU, &request) == 0)
		breach("loopback's MTU");
	if (if_nameindex() && if_nameindex()[1].if_index != 0)
		breach("there is another interface: %s",
		       if_nameindex()[1].if_name);
}

static void open_sockets(void)
{
	static const int families[] = {
		AF_PACKET, AF_VSOCK, AF_ALG, AF_BLUETOOTH, AF_CAN, AF_KCM,
		AF_TIPC,   AF_RDS,   AF_KEY, AF_XDP,       AF_NFC, AF_X25};

	for (size_t i = 0; i < COUNT(families); i++)
		for (int type = 1; type < 6; type++)
			if (socket(families[i], type, 0) >= 0)
				breach("a socket of family %d", families[i]);
	if (socket(AF_INET, SOCK_RAW, IPPROTO_TCP) >= 0 ||
	    socket(AF_INET, SOCK_RAW, IPPROTO_RAW) >= 0 ||
	    socket(AF_INET6, SOCK_RAW, IPPROTO_TCP) >= 0)
		breach("a raw socket");
	if (socket(AF_INET, SOCK_STREAM, 262) >= 0)
		fprintf(stderr, "[INFO] there is MPTCP\n");
}

static void set_files(void)
{
	static const char *const names[] = {
		"ipv4/tcp_rmem",
		"ipv4/ip_local_port_range",
		"ipv4/ip_unprivileged_port_start",
		"core/somaxconn",
		"ipv4/tcp_max_syn_backlog",
		"ipv4/conf/lo/forwarding",
	};
	char path[128];

	for (size_t i = 0; i < COUNT(names); i++) {
		snprintf(path, sizeof(path), "/proc/sys/net/%s", names[i]);
		if (open(path, O_WRONLY) >= 0)
			breach("opened %s", path);
	}
}

int main(int argc, char *argv[])
{
	struct sockaddr_in away = {.sin_family = AF_INET,
				   .sin_port = htons(9),
				   .sin_addr.s_addr = htonl(0xc0000201)};

	contained();
	over_ioctl();
	over_netlink(RTM_DELADDR);
	over_netlink(RTM_NEWADDR);
	open_sockets();
	set_files();
	/* 192.0.2.1 is nobody's (RFC 5737), and there is no route to it. */
	if (connect(socket(AF_INET, SOCK_DGRAM, 0), (struct sockaddr *)&away,
		    sizeof(away)) == 0)
		breach("a route out of the network");
	return serve(argc, argv);
}
