#include "socket.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "spec.h"

/* One address has 28,000 ports for one destination. */
enum { PER_ADDRESS = 20000 };

bool socket_connect(struct socket *it, int epoll, int port, unsigned source, void *owner) {
  it->epoll = epoll;
  it->length = 0;
  it->wants_out = true;
  it->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (it->fd < 0) fail("no socket: errno %d", errno);
  int on = 1;
  setsockopt(it->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct sockaddr_in address = {.sin_family = AF_INET};
  if (source >= PER_ADDRESS) {
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + source / PER_ADDRESS);
    setsockopt(it->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(it->fd, (struct sockaddr *)&address, sizeof address)) fail("no address: errno %d", errno);
  }
  address.sin_port = htons((uint16_t)port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(it->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) {
    close(it->fd);
    it->fd = -1;
    return false;
  }
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = owner};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, it->fd, &event)) fail("epoll: errno %d", errno);
  return true;
}

char *socket_add(struct socket *it, const char *bytes, size_t length) {
  if (it->length + length > it->room) {
    it->room = (it->length + length) * 2;
    it->waiting = grow(it->waiting, it->room);
  }
  char *at = it->waiting + it->length;
  memcpy(at, bytes, length);
  it->length += length;
  return at;
}

bool socket_flush(struct socket *it, void *owner) {
  size_t sent = 0;
  while (sent < it->length) {
    ssize_t took = send(it->fd, it->waiting + sent, it->length - sent, MSG_NOSIGNAL);
    if (took < 0 && errno == EAGAIN) break;
    if (took < 0) return false;
    sent += (size_t)took;
  }
  if (sent) memmove(it->waiting, it->waiting + sent, it->length -= sent);
  if (it->wants_out != (it->length > 0)) {
    it->wants_out = it->length > 0;
    struct epoll_event event = {.events = EPOLLIN | (it->wants_out ? EPOLLOUT : 0), .data.ptr = owner};
    epoll_ctl(it->epoll, EPOLL_CTL_MOD, it->fd, &event);
  }
  return true;
}

void socket_reset(struct socket *it) {
  if (it->fd < 0) return;
  struct linger at_once = {.l_onoff = 1, .l_linger = 0};
  setsockopt(it->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(it->fd);
  it->fd = -1;
}
