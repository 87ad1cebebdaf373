/* What must not break anything: handles used after their end, of another kind or wild, closing while others wait, eight threads, a
 * panic. Needs the homes that conversation has made. Usage: misuse FOLDER */
#include "check.h"
#include <pthread.h>
#include <time.h>

#ifdef PLANTED_PANIC
chancery_code chancery_test_panic(const chancery_client *client);
#endif

/* Whoever waits is woken within one; valgrind is slow. */
#ifndef SECONDS_TO_WAKE
#define SECONDS_TO_WAKE 1.0
#endif

static chancery_client *shared;

static double now(void)
{
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void *reads(void *unused)
{
  chancery_event *event = NULL;
  for (;;) {
    chancery_code code = chancery_client_next_event(shared, CHANCERY_FOREVER, &event);
    if (code != CHANCERY_OK) {
      GIVES(CHANCERY_HANDLE_CLOSED, code);
      return unused;
    }
    chancery_event_free(event);
  }
}

/* Writes, changes what was written, and reads: what one thread does, the others see in whatever order, and nothing is lost. */
static void *uses(void *unused)
{
  int i;
  for (i = 0; i < 3; i++) {
    chancery_string *json = NULL;
    chancery_page *page = NULL;
    uint64_t unread = 9;
    char text[32], id[33], message[64];
    snprintf(text, sizeof text, "round %d", i);
    OK(chancery_client_send(shared, T("bob"), T(text), NULL, 0, 60000, &json));
    has(json, "\"id\"");
    snprintf(message, sizeof message, "{\"text\":\"%s\"}", text);
    OK(chancery_client_send_message(shared, T("bob"), T(message), 60000, &json));
    field(json, "id", id, sizeof id);
    OK(chancery_client_edit(shared, T("bob"), T(id), T("round and round"), 60000, &json));
    has(json, "\"id\"");
    OK(chancery_client_react(shared, T("bob"), T(id), T("+1"), false, 60000, &json));
    has(json, "\"id\"");
    OK(chancery_client_delete(shared, T("bob"), T(id), 60000, &json));
    has(json, "\"id\"");
    GIVES(CHANCERY_MESSAGE_UNKNOWN, chancery_client_answer(shared, T("bob"), T(id), T("{}"), 60000, &json));
    OK(chancery_client_set_draft(shared, T("bob"), T(text)));
    OK(chancery_client_conversations(shared, &json));
    has(json, "\"draft\":\"round ");
    OK(chancery_client_history_before(shared, T("bob"), 0, 256, &json));
    has(json, id);
    OK(chancery_client_mark_read(shared, T("bob"), UINT64_MAX, &unread));
    OK(chancery_client_typing(shared, T("bob"), i % 2));
    OK(chancery_client_members(shared, T(""), T(""), &json));
    has(json, "\"bob\"");
    OK(chancery_client_history(shared, T("bob"), 0, &page));
    OK(chancery_page_json(page, &json));
    has(json, "round");
    chancery_page_free(page);
    GIVES(CHANCERY_UNKNOWN_RECIPIENT, chancery_client_history(shared, T("nobody"), 0, &page));
    CHECK(!strcmp(chancery_last_detail(), "nobody"));
  }
  return unused;
}

static void eight_threads(const char *folder)
{
  pthread_t readers[2], users[6];
  double begun;
  int i;
  shared = open_home(folder, "alice");
  OK(chancery_client_follow(shared));
  for (i = 0; i < 2; i++) CHECK(pthread_create(&readers[i], NULL, reads, NULL) == 0);
  for (i = 0; i < 6; i++) CHECK(pthread_create(&users[i], NULL, uses, NULL) == 0);
  for (i = 0; i < 6; i++) CHECK(pthread_join(users[i], NULL) == 0);
  begun = now();
  OK(chancery_client_close(shared));
  for (i = 0; i < 2; i++) CHECK(pthread_join(readers[i], NULL) == 0);
  CHECK(now() - begun < SECONDS_TO_WAKE);
  chancery_client_free(shared);
}

/* Frees the client under its readers: they return, and whoever is last tidies up. */
static void free_while_others_wait(const char *folder)
{
  pthread_t readers[2];
  struct timespec pause = {0, 100000000};
  int i;
  shared = open_home(folder, "bob");
  for (i = 0; i < 2; i++) CHECK(pthread_create(&readers[i], NULL, reads, NULL) == 0);
  nanosleep(&pause, NULL);
  chancery_client_free(shared);
  for (i = 0; i < 2; i++) CHECK(pthread_join(readers[i], NULL) == 0);
}

static void handles(const char *folder)
{
  chancery_client *client = open_home(folder, "alice");
  chancery_string *json = NULL, *untouched = (chancery_string *)&json;
  int object = 0;
  OK(chancery_client_me(client, &json));
  GIVES(CHANCERY_WRONG_HANDLE, chancery_client_me((chancery_client *)json, &untouched));
  GIVES(CHANCERY_WRONG_HANDLE, chancery_client_me((chancery_client *)&object, &untouched));
  GIVES(CHANCERY_WRONG_HANDLE, chancery_event_json((chancery_event *)client, &untouched));
  CHECK(untouched == (chancery_string *)&json);
  CHECK(chancery_string_data((chancery_string *)client) == NULL && chancery_string_len((chancery_string *)client) == 0);
  /* Freed as what they are not, they stay what they are. */
  chancery_string_free((chancery_string *)client);
  chancery_client_free((chancery_client *)json);
  chancery_client_free((chancery_client *)&object);
  CHECK(chancery_live_handles() == 2 && chancery_string_len(json) > 0);
  chancery_string_free(json);
  chancery_string_free(json);
  CHECK(chancery_string_data(json) == NULL);
  OK(chancery_client_close(client));
  OK(chancery_client_close(client));
  GIVES(CHANCERY_HANDLE_CLOSED, chancery_client_follow(client));
  chancery_client_free(client);
  GIVES(CHANCERY_HANDLE_CLOSED, chancery_client_follow(client));
  GIVES(CHANCERY_HANDLE_CLOSED, chancery_client_close(client));
  chancery_client_free(client);
}

static void keys(const char *folder)
{
  chancery_key *key = NULL;
  chancery_client *client = NULL;
  char home[512];
  chancery_str bytes = T("0123456789abcdef0123456789abcdef");
  snprintf(home, sizeof home, "%s/alice", folder);
  OK(chancery_key_new_bytes(bytes, &key));
  GIVES(CHANCERY_WRONG_PASSPHRASE, chancery_client_new(T(home), key, &client));
  chancery_key_free(key);
  GIVES(CHANCERY_HANDLE_CLOSED, chancery_client_new(T(home), key, &client));
  GIVES(CHANCERY_WRONG_HANDLE, chancery_client_new(T(home), (chancery_key *)&bytes, &client));
  key = NULL;
  bytes.len = 31;
  GIVES(CHANCERY_KEY_FILE_UNUSABLE, chancery_key_new_bytes(bytes, &key));
  GIVES(CHANCERY_NO_PASSPHRASE, chancery_key_new_passphrase(T(""), &key));
  GIVES(CHANCERY_FILE_NOT_FOUND, chancery_key_new_file(T("/nowhere/key"), false, &key));
  CHECK(key == NULL && client == NULL && strstr(chancery_last_detail(), "/nowhere"));
  OK(chancery_key_new_passphrase(T("\xff\xfe any bytes do"), &key));
  chancery_key_free(key);
}

static void codes(void)
{
  CHECK(!strcmp(chancery_strerror(CHANCERY_OK), "no error") && !strcmp(chancery_code_name(CHANCERY_OK), "ok"));
  CHECK(!strcmp(chancery_code_name(CHANCERY_RELAY_UNREACHABLE), "relay-unreachable"));
  CHECK(!strcmp(chancery_strerror(4242), "unknown code") && !strcmp(chancery_code_name(4242), "unknown"));
  CHECK(chancery_is_retryable(CHANCERY_RELAY_UNREACHABLE) && !chancery_is_retryable(CHANCERY_QUEUED));
  CHECK(!chancery_is_retryable(CHANCERY_OK) && !chancery_is_retryable(4242));
  CHECK(!strcmp(chancery_version(), CHANCERY_VERSION) && chancery_abi_version() == CHANCERY_ABI_VERSION);
}

#ifdef PLANTED_PANIC
static void a_panic_is_a_code(const char *folder)
{
  chancery_client *client = open_home(folder, "alice"), *other = open_home(folder, "bob");
  chancery_string *json = NULL;
  GIVES(CHANCERY_PANICKED, chancery_test_panic(client));
  GIVES(CHANCERY_PANICKED, chancery_client_me(client, &json));
  GIVES(CHANCERY_PANICKED, chancery_client_send(client, T("bob"), T("?"), NULL, 0, 1000, &json));
  OK(chancery_client_close(client));
  CHECK(json == NULL);
  OK(chancery_client_me(other, &json));
  has(json, "bob");
  chancery_client_free(client);
  chancery_client_free(other);
}
#endif

int main(int argc, char **argv)
{
  CHECK(argc == 2);
  codes();
  keys(argv[1]);
  handles(argv[1]);
  free_while_others_wait(argv[1]);
  eight_threads(argv[1]);
#ifdef PLANTED_PANIC
  a_panic_is_a_code(argv[1]);
#endif
  CHECK(chancery_live_handles() == 0);
  return 0;
}
