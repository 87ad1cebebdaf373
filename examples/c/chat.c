/* A conversation with one member, in a terminal: what you type is sent, what arrives is shown.
 *
 *     chancery enroll --home alice --key-file alice.key LINK
 *     cc chat.c $(pkg-config --cflags --libs chancery) -o chat && ./chat alice alice.key bob
 */
#include <chancery.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int failed(const char *what, chancery_code code)
{
  fprintf(stderr, "%s: %s %s\n", what, chancery_strerror(code), chancery_last_detail());
  return 1;
}

/* Shows everything that waits; what was shown does not come again. */
static chancery_code show(chancery_client *client)
{
  chancery_event *event;
  chancery_code code;
  while ((code = chancery_client_next_event(client, 0, &event)) == CHANCERY_OK) {
    chancery_string *json = NULL;
    uint64_t number = 0;
    if (!chancery_event_json(event, &json)) puts(chancery_string_data(json));
    fflush(stdout);
    if (!chancery_event_number(event, &number)) code = chancery_client_take_events(client, number);
    chancery_string_free(json);
    chancery_event_free(event);
    if (code) return code;
  }
  if (code == CHANCERY_NO_EVENT) code = CHANCERY_OK;
  return code;
}

/* Sends a line. */
static chancery_code say(chancery_client *client, const char *to, char *line)
{
  chancery_string *json = NULL;
  chancery_code code;
  line[strcspn(line, "\n")] = 0;
  if (!*line) return CHANCERY_OK;
  code = chancery_client_send(client, chancery_text(to), chancery_text(line), NULL, 0, 30000, &json);
  if (!code) puts(chancery_string_data(json));
  fflush(stdout);
  chancery_string_free(json);
  return code;
}

int main(int argc, char **argv)
{
  chancery_key *key = NULL;
  chancery_client *client = NULL;
  struct pollfd ready[2] = {{0, POLLIN, 0}, {-1, POLLIN, 0}};
  chancery_code code;
  char line[4096];

  if (argc != 4) return fprintf(stderr, "usage: %s HOME KEY-FILE MEMBER\n", argv[0]), 64;
  code = chancery_key_new_file(chancery_text(argv[2]), false, &key);
  if (code) return failed(argv[2], code);
  code = chancery_client_new(chancery_text(argv[1]), key, &client);
  chancery_key_free(key);
  if (code) return failed(argv[1], code);
  code = chancery_client_follow(client);
  if (!code) code = chancery_client_fd(client, &ready[1].fd);
  while (!code && poll(ready, 2, -1) > 0) {
    if (ready[1].revents) code = show(client);
    if (!code && ready[0].revents) {
      /* A line at a time; what is typed ahead waits in the terminal. */
      ssize_t len = read(0, line, sizeof line - 1);
      if (len <= 0) break;
      line[len] = 0;
      code = say(client, argv[3], line);
    }
  }
  if (!code) code = show(client);
  chancery_client_free(client);
  return code ? failed("chat", code) : 0;
}
