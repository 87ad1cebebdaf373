/* What the programs of the suite have in common. */
#ifndef CHECK_H
#define CHECK_H
#define _POSIX_C_SOURCE 200809L
#include <chancery.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition) \
  do { \
    if (!(condition)) { \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      exit(1); \
    } \
  } while (0)

/* Checks that a call gives a code. */
#define GIVES(expected, call) \
  do { \
    chancery_code gave_ = (call); \
    if (gave_ != (expected)) { \
      fprintf(stderr, "%s:%d: %s: %s (%s), not %s\n", __FILE__, __LINE__, #call, \
              chancery_code_name(gave_), chancery_last_detail(), chancery_code_name(expected)); \
      exit(1); \
    } \
  } while (0)

#define OK(call) GIVES(CHANCERY_OK, call)
#define T(text) chancery_text(text)

/* Looks for something in a text that was handed out, and frees it. */
static inline void has(chancery_string *json, const char *what)
{
  if (!strstr(chancery_string_data(json), what)) {
    fprintf(stderr, "no %s in %s\n", what, chancery_string_data(json));
    exit(1);
  }
  chancery_string_free(json);
}

/* Waits for an event with this text in it; what else happens is taken too. */
static inline chancery_event *await(chancery_client *client, const char *text)
{
  for (;;) {
    chancery_event *event = NULL;
    chancery_string *json = NULL;
    uint64_t number = 0;
    int found;
    OK(chancery_client_next_event(client, 60000, &event));
    OK(chancery_event_json(event, &json));
    OK(chancery_event_number(event, &number));
    found = strstr(chancery_string_data(json), text) != NULL;
    chancery_string_free(json);
    OK(chancery_client_take_events(client, number));
    if (found) return event;
    chancery_event_free(event);
  }
}

/* Copies the text of the first field of this name, and frees what it was in. */
static inline void field(chancery_string *json, const char *name, char *value, size_t len)
{
  char key[64];
  const char *begin;
  size_t count;
  snprintf(key, sizeof key, "\"%s\":\"", name);
  begin = strstr(chancery_string_data(json), key);
  CHECK(begin);
  begin += strlen(key);
  count = strcspn(begin, "\"");
  CHECK(count < len);
  memcpy(value, begin, count);
  value[count] = 0;
  chancery_string_free(json);
}

static inline chancery_client *open_home(const char *folder, const char *name)
{
  char home[512], file[520];
  chancery_key *key = NULL;
  chancery_client *client = NULL;
  snprintf(home, sizeof home, "%s/%s", folder, name);
  snprintf(file, sizeof file, "%s.key", home);
  OK(chancery_key_new_file(T(file), false, &key));
  OK(chancery_client_new(T(home), key, &client));
  chancery_key_free(key);
  return client;
}
#endif
