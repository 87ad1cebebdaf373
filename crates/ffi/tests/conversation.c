/* Alice and Bob enrol and talk: a file, a group, a history, a descriptor. Usage: conversation FOLDER ALICE'S-LINK BOB'S-LINK */
#include "check.h"
#include <poll.h>
#include <unistd.h>

static unsigned long told;

static void on_progress(void *userdata, chancery_str name, uint64_t done, uint64_t total)
{
  chancery_string *json = NULL;
  /* Within a callback nothing of a client can be called, and nothing breaks by trying. */
  GIVES(CHANCERY_WITHIN_CALLBACK, chancery_client_devices((chancery_client *)userdata, &json));
  GIVES(CHANCERY_WITHIN_CALLBACK, chancery_client_on_progress((chancery_client *)userdata, NULL, NULL));
  CHECK(json == NULL && name.len > 0 && done <= total);
  told++;
}

static chancery_client *enrol(const char *folder, const char *name, const char *link)
{
  char home[512], file[520];
  chancery_key *key = NULL;
  chancery_client *client = NULL;
  snprintf(home, sizeof home, "%s/%s", folder, name);
  snprintf(file, sizeof file, "%s.key", home);
  OK(chancery_key_new_file(T(file), true, &key));
  GIVES(CHANCERY_STORE_NOT_FOUND, chancery_client_new(T(home), key, &client));
  CHECK(client == NULL);
  GIVES(CHANCERY_INVITATION_DAMAGED, chancery_client_new_enrolled(T(home), key, T("no link"), 1000, NULL, NULL, &client));
  OK(chancery_client_new_enrolled(T(home), key, T(link), 60000, NULL, NULL, &client));
  chancery_key_free(key);
  return client;
}

int main(int argc, char **argv)
{
  chancery_client *alice, *bob;
  chancery_string *json = NULL;
  chancery_event *event = NULL;
  chancery_page *page = NULL;
  chancery_str people[1], files[1];
  char path[512], downloads[512], buffer[4];
  struct pollfd waits;
  uint64_t position = 9;
  size_t count = 0;
  bool more = true;
  FILE *file;
  int i;

  CHECK(argc == 4);
  alice = enrol(argv[1], "alice", argv[2]);
  bob = enrol(argv[1], "bob", argv[3]);
  OK(chancery_client_me(alice, &json));
  has(json, "\"handle\":\"alice\"");
  OK(chancery_client_sync(alice, 30000, &count));

  /* A descriptor says when there is something. */
  OK(chancery_client_follow(bob));
  OK(chancery_client_follow(bob));
  waits.events = POLLIN;
  OK(chancery_client_fd(bob, &waits.fd));
  while (chancery_client_next_event(bob, 0, &event) == CHANCERY_OK) { chancery_event_free(event); event = NULL; }
  CHECK(event == NULL);

  /* A message with a file. */
  snprintf(path, sizeof path, "%s/notes.txt", argv[1]);
  snprintf(downloads, sizeof downloads, "%s/downloads", argv[1]);
  file = fopen(path, "w");
  CHECK(file && fputs("Tea at four.", file) >= 0 && fclose(file) == 0);
  OK(chancery_client_on_progress(alice, alice, on_progress));
  files[0] = T(path);
  OK(chancery_client_send(alice, T("bob"), T("The notes \xc3\xa9"), files, 1, 60000, &json));
  has(json, "\"state\":\"sent\"");
  CHECK(told > 0);
  CHECK(poll(&waits, 1, 60000) == 1 && (waits.revents & POLLIN));
  event = await(bob, "The notes \xc3\xa9");
  GIVES(CHANCERY_WRONG_HANDLE, chancery_client_save_file(alice, event, 0, T(downloads), &json));
  GIVES(CHANCERY_USAGE, chancery_client_save_file(bob, event, 1, T(downloads), &json));
  OK(chancery_client_save_file(bob, event, 0, T(downloads), &json));
  GIVES(CHANCERY_SHORT_BUFFER, chancery_string_copy(json, buffer, sizeof buffer, &count));
  OK(chancery_string_copy(json, NULL, 0, &count));
  CHECK(count == chancery_string_len(json) + 1 && count < sizeof path);
  OK(chancery_string_copy(json, path, sizeof path, &count));
  chancery_string_free(json);
  file = fopen(path, "r");
  CHECK(file && fgets(downloads, sizeof downloads, file) && !strcmp(downloads, "Tea at four.") && fclose(file) == 0);
  chancery_event_free(event);

  /* What is not taken comes again with another handle, and what was taken does not. */
  OK(chancery_client_send(alice, T("bob"), T("Later"), NULL, 0, 60000, &json));
  has(json, "sent");
  OK(chancery_client_next_event(bob, 60000, &event));
  chancery_event_free(event);
  OK(chancery_client_close(bob));
  GIVES(CHANCERY_HANDLE_CLOSED, chancery_client_me(bob, &json));
  chancery_client_free(bob);
  bob = open_home(argv[1], "bob");
  chancery_event_free(await(bob, "Later"));
  GIVES(CHANCERY_NO_EVENT, chancery_client_next_event(bob, 0, &event));
  OK(chancery_client_follow(bob));

  /* Histories by pages, and a file of one. */
  OK(chancery_client_history(bob, T("alice"), 0, &page));
  OK(chancery_page_next(page, &more, &position));
  CHECK(!more && position == 0);
  OK(chancery_page_json(page, &json));
  has(json, "notes.txt");
  snprintf(downloads, sizeof downloads, "%s/more", argv[1]);
  /* A page of Bob's is nothing for Alice's client, though she has sent the file herself. */
  GIVES(CHANCERY_WRONG_HANDLE, chancery_client_save_file_of_page(alice, page, 0, 0, T(downloads), &json));
  CHECK(strstr(chancery_last_detail(), "another device") && access(downloads, F_OK) != 0);
  OK(chancery_client_save_file_of_page(bob, page, 0, 0, T(downloads), &json));
  has(json, "/more/notes.txt");
  GIVES(CHANCERY_USAGE, chancery_client_save_file_of_page(bob, page, 7, 0, T(downloads), &json));
  chancery_page_free(page);
  GIVES(CHANCERY_UNKNOWN_RECIPIENT, chancery_client_history(bob, T("nobody"), 0, &page));
  CHECK(!strcmp(chancery_last_detail(), "nobody"));

  /* A group. */
  people[0] = T("bob");
  OK(chancery_group_create(alice, T("Tea"), people, 1, 60000, &json));
  has(json, "\"state\":\"done\"");
  OK(chancery_group_send(alice, T("Tea"), T("To all"), NULL, 0, 60000, &json));
  has(json, "\"state\":\"sent\"");
  chancery_event_free(await(bob, "To all"));
  OK(chancery_group_list(bob, &json));
  has(json, "\"name\":\"Tea\"");
  /* Who can read: in the group as in a conversation of two, and nobody elsewhere. */
  OK(chancery_client_readers(alice, T("Tea"), &json));
  has(json, "\"handle\":\"bob\"");
  OK(chancery_client_readers(bob, T("alice"), &json));
  has(json, "\"handle\":\"alice\"");
  GIVES(CHANCERY_UNKNOWN_RECIPIENT, chancery_client_readers(alice, T("nobody"), &json));
  OK(chancery_group_set_role(alice, T("Tea"), T("bob"), T("admin"), 60000, &json));
  has(json, "done");
  GIVES(CHANCERY_USAGE, chancery_group_set_role(alice, T("Tea"), T("bob"), T("king"), 60000, &json));
  OK(chancery_group_rename(alice, T("Tea"), T("Coffee"), 60000, &json));
  has(json, "\"name\":\"Coffee\"");
  OK(chancery_group_show(alice, T("Coffee"), &json));
  has(json, "\"role\":\"admin\"");
  OK(chancery_group_remove(alice, T("Coffee"), people, 1, 60000, &json));
  has(json, "done");
  OK(chancery_group_add(alice, T("Coffee"), people, 1, T("reader"), 60000, &json));
  has(json, "done");
  OK(chancery_group_history(alice, T("Coffee"), 0, &page));
  OK(chancery_page_json(page, &json));
  has(json, "\"act\":\"renamed\"");
  chancery_page_free(page);
  GIVES(CHANCERY_GROUP_REFUSED, chancery_group_leave(alice, T("Coffee"), 60000, &json));
  OK(chancery_group_dissolve(alice, T("Coffee"), 60000, &json));
  has(json, "done");

  /* What the device knows of itself and the organisation. */
  OK(chancery_client_policy(alice, &json));
  has(json, "\"device_limit\"");
  OK(chancery_client_log_status(alice, &json));
  has(json, "\"state\":\"current\"");
  OK(chancery_client_devices(alice, &json));
  has(json, "\"this\":true");
  OK(chancery_client_device_link(alice, &json));
  has(json, "\"link\"");
  GIVES(CHANCERY_DEVICE_REQUEST_UNKNOWN, chancery_client_approve_device(alice, T("1234 5678"), 5000, &json));
  GIVES(CHANCERY_DEVICE_UNKNOWN, chancery_client_remove_device(alice, T("00000000000000000000000000000000"), 5000, &json));

  for (i = 0; i < 2; i++) {
    chancery_client_free(alice);
    chancery_client_free(bob);
  }
  CHECK(chancery_live_handles() == 0);
  return 0;
}
