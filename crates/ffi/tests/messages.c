/* Alice and Bob reply, edit, react, delete, ask and answer; read, type, let a message disappear; and rule a group. Needs the homes that
 * conversation has made. Usage: messages FOLDER */
#include "check.h"
#include <poll.h>
#include <time.h>

#define SOON 60000
#define ID 33

static chancery_client *alice, *bob;
static chancery_string *json;

/* Sends a message of this JSON from Alice to Bob, who waits for it; its identifier goes to `id`. */
static void send(const char *message, const char *seen, char *id)
{
  OK(chancery_client_send_message(alice, T("bob"), T(message), SOON, &json));
  field(json, "id", id, ID);
  chancery_event_free(await(bob, seen));
}

static void what_is_wrong_with_a_message_is_named(void)
{
  static const char *const wrong[][2] = {
    {"", "EOF"}, {"{", "EOF"}, {"[]", "object"}, {"\"Tea?\"", "object"}, {"{\"text\":1}", "text"}, {"{\"txt\":\"Tea?\"}", "txt"},
    {"{\"text\":\"a\",\"files\":[1]}", "files"}, {"{\"text\":\"a\",\"reply_to\":{\"id\":\"1\",\"from\":\"2\"}}", "reply_to"},
    {"{\"text\":\"a\",\"mentions\":[{\"start\":-1}]}", "mentions"}, {"{\"form\":{\"title\":\"a\",\"fields\":[]}}", "form"},
  };
  size_t i;
  for (i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    GIVES(CHANCERY_ACT_INVALID, chancery_client_send_message(alice, T("bob"), T(wrong[i][0]), SOON, &json));
    if (!strstr(chancery_last_detail(), wrong[i][1])) printf("%s: %s\n", wrong[i][0], chancery_last_detail());
    CHECK(strstr(chancery_last_detail(), wrong[i][1]));
    GIVES(CHANCERY_ACT_INVALID, chancery_group_send_message(alice, T("Staff"), T(wrong[i][0]), SOON, &json));
  }
  GIVES(CHANCERY_USAGE, chancery_client_send_message(alice, T("bob"), T("{}"), SOON, &json));
  GIVES(CHANCERY_UNKNOWN_RECIPIENT, chancery_client_send_message(alice, T("nobody"), T("{\"text\":\"a\"}"), SOON, &json));
  GIVES(CHANCERY_GROUP_UNKNOWN, chancery_group_send_message(alice, T("Nobody"), T("{\"text\":\"a\"}"), SOON, &json));
  GIVES(CHANCERY_MESSAGE_UNKNOWN,
        chancery_client_send_message(alice, T("bob"), T("{\"text\":\"a\",\"reply_to\":{\"id\":\"00000000000000000000000000000000\","
                                                        "\"from\":\"00000000000000000000000000000000\"}}"), SOON, &json));
  GIVES(CHANCERY_FILE_NOT_FOUND, chancery_client_send_message(alice, T("bob"), T("{\"files\":[\"/nowhere/a\"]}"), SOON, &json));
}

static void acts(const char *folder)
{
  char id[ID], answer[ID], member[ID], message[1024], path[512];
  FILE *file;
  OK(chancery_client_me(bob, &json));
  field(json, "member", member, sizeof member);

  /* A file with a type, and a mention: bytes of the text, in which the letter before the name has two. */
  snprintf(path, sizeof path, "%s/menu.txt", folder);
  file = fopen(path, "w");
  CHECK(file && fputs("Soup, pie.", file) >= 0 && fclose(file) == 0);
  snprintf(message, sizeof message,
           "{\"text\":\"\xc3\xa0 @bob\",\"files\":[{\"path\":\"%s\",\"media_type\":\"text/x-menu\",\"preview\":\"AQID\"}],"
           "\"mentions\":[{\"start\":3,\"length\":4,\"member\":\"%s\"}]}", path, member);
  send(message, "\"media_type\":\"text/x-menu\"", id);
  OK(chancery_client_history_before(bob, T("alice"), 0, 1, &json));
  has(json, "\"start\":3");
  snprintf(path, sizeof path, "%s/by-name", folder);
  OK(chancery_client_save_file_of_message(bob, T("alice"), T(id), 0, T(path), &json));
  has(json, "/by-name/menu.txt");
  GIVES(CHANCERY_USAGE, chancery_client_save_file_of_message(bob, T("alice"), T(id), 1, T(path), &json));
  GIVES(CHANCERY_MESSAGE_UNKNOWN, chancery_client_save_file_of_message(bob, T("alice"), T("0000"), 0, T(path), &json));

  /* Bob replies; Alice edits what she wrote, he reacts and takes it back, she deletes. */
  OK(chancery_client_me(alice, &json));
  field(json, "member", member, sizeof member);
  snprintf(message, sizeof message, "{\"text\":\"Soup.\",\"reply_to\":{\"id\":\"%s\",\"from\":\"%s\"}}", id, member);
  OK(chancery_client_send_message(bob, T("alice"), T(message), SOON, &json));
  field(json, "id", answer, sizeof answer);
  chancery_event_free(await(alice, "\"reply_to\":{"));
  OK(chancery_client_edit(alice, T("bob"), T(id), T("Lunch?"), SOON, &json));
  has(json, "\"state\":\"sent\"");
  chancery_event_free(await(bob, "\"change\":\"edited\""));
  GIVES(CHANCERY_NOT_YOUR_MESSAGE, chancery_client_edit(alice, T("bob"), T(answer), T("Pie."), SOON, &json));
  GIVES(CHANCERY_NOT_YOUR_MESSAGE, chancery_client_delete(alice, T("bob"), T(answer), SOON, &json));
  OK(chancery_client_react(bob, T("alice"), T(id), T("\xf0\x9f\x8d\xb5"), false, SOON, &json));
  has(json, "sent");
  chancery_event_free(await(alice, "\"emoji\":\"\xf0\x9f\x8d\xb5\""));
  GIVES(CHANCERY_ACT_INVALID, chancery_client_react(bob, T("alice"), T(id), T(""), false, SOON, &json));
  OK(chancery_client_react(bob, T("alice"), T(id), T("\xf0\x9f\x8d\xb5"), true, SOON, &json));
  has(json, "sent");
  chancery_event_free(await(alice, "\"change\":\"reacted\""));
  OK(chancery_client_delete(alice, T("bob"), T(id), SOON, &json));
  has(json, "sent");
  chancery_event_free(await(bob, "\"deleted\":true"));
  GIVES(CHANCERY_MESSAGE_UNKNOWN, chancery_client_react(bob, T("alice"), T(id), T("!"), false, SOON, &json));
  GIVES(CHANCERY_MESSAGE_UNKNOWN, chancery_client_edit(alice, T("bob"), T("no identifier"), T("a"), SOON, &json));
  GIVES(CHANCERY_UNKNOWN_RECIPIENT, chancery_client_edit(alice, T("nobody"), T("last"), T("a"), SOON, &json));

  /* A form and its answer. */
  send("{\"form\":{\"title\":\"Lunch\",\"fields\":[{\"id\":\"what\",\"label\":\"What?\",\"kind\":\"choice\",\"options\":[\"soup\",\"pie\"],"
       "\"required\":true}]}}", "\"title\":\"Lunch\"", id);
  GIVES(CHANCERY_ACT_INVALID, chancery_client_answer(bob, T("alice"), T(id), T("{\"what\":\"stew\"}"), SOON, &json));
  GIVES(CHANCERY_ACT_INVALID, chancery_client_answer(bob, T("alice"), T(id), T("{\"what\":1}"), SOON, &json));
  CHECK(strstr(chancery_last_detail(), "what"));
  GIVES(CHANCERY_ACT_INVALID, chancery_client_answer(bob, T("alice"), T(id), T("soup"), SOON, &json));
  GIVES(CHANCERY_ACT_INVALID, chancery_client_answer(alice, T("bob"), T(answer), T("{\"what\":\"soup\"}"), SOON, &json));
  OK(chancery_client_answer(bob, T("alice"), T(id), T("{\"what\":\"pie\"}"), SOON, &json));
  has(json, "sent");
  chancery_event_free(await(alice, "\"values\":{\"what\":\"pie\"}"));
}

static void conversations(void)
{
  uint64_t unread = 99, before = 0;
  char next[32];
  int pages = 0;
  OK(chancery_client_conversations(bob, &json));
  has(json, "\"title\":\"alice\"");
  OK(chancery_client_set_draft(bob, T("alice"), T("Dear")));
  OK(chancery_client_conversation(bob, T("alice"), &json));
  has(json, "\"draft\":\"Dear\"");
  OK(chancery_client_set_draft(bob, T("alice"), T("")));
  OK(chancery_client_conversation(bob, T("alice"), &json));
  has(json, "\"draft\":null");
  /* By pages of two to the beginning. */
  do {
    const char *at;
    OK(chancery_client_history_before(bob, T("alice"), before, 2, &json));
    at = strstr(chancery_string_data(json), "\"next\":");
    CHECK(at && ++pages < 100);
    snprintf(next, sizeof next, "%.20s", at + 7);
    before = strtoull(next, NULL, 10);
    chancery_string_free(json);
  } while (before > 0);
  CHECK(pages > 1 && !strncmp(next, "null", 4));

  OK(chancery_client_mark_read(bob, T("alice"), UINT64_MAX, &unread));
  CHECK(unread == 0);
  chancery_event_free(await(alice, "\"kind\":\"read\""));
  OK(chancery_client_receipt_settings(bob, &json));
  has(json, "\"read_receipts\":true");
  OK(chancery_client_set_receipt_settings(bob, false, true, true));
  OK(chancery_client_receipt_settings(bob, &json));
  has(json, "\"read_receipts\":false");
  OK(chancery_client_set_receipt_settings(bob, true, true, true));

  GIVES(CHANCERY_UNKNOWN_RECIPIENT, chancery_client_conversation(bob, T("nobody"), &json));
  GIVES(CHANCERY_UNKNOWN_RECIPIENT, chancery_client_history_before(bob, T("nobody"), 0, 9, &json));
  GIVES(CHANCERY_UNKNOWN_RECIPIENT, chancery_client_mark_read(bob, T("nobody"), 9, &unread));
  GIVES(CHANCERY_UNKNOWN_RECIPIENT, chancery_client_set_draft(bob, T("nobody"), T("a")));
  CHECK(unread == 0);

  OK(chancery_client_members(bob, T("ALI"), T(""), &json));
  CHECK(!strstr(chancery_string_data(json), "\"bob\"") && strstr(chancery_string_data(json), "\"next\":null"));
  has(json, "\"handle\":\"alice\"");
  OK(chancery_client_members(bob, T(""), T("alice"), &json));
  CHECK(!strstr(chancery_string_data(json), "\"alice\""));
  has(json, "\"handle\":\"bob\"");
  OK(chancery_client_resolve(bob, T("alice"), &json));
  has(json, "\"devices\":[\"");
  GIVES(CHANCERY_UNKNOWN_RECIPIENT, chancery_client_resolve(bob, T("nobody"), &json));
}

/* Who is writing wakes the descriptor, is not counted, and is handed out once. */
static void typing(void)
{
  struct pollfd waits = {-1, POLLIN, 0};
  chancery_event *event = NULL;
  uint64_t number = 9;
  OK(chancery_client_fd(alice, &waits.fd));
  while (chancery_client_next_event(alice, 0, &event) == CHANCERY_OK) chancery_event_free(event);
  event = NULL;
  OK(chancery_client_typing(bob, T("alice"), false));
  CHECK(poll(&waits, 1, SOON) == 1);
  event = await(alice, "\"event\":\"typing\"");
  OK(chancery_event_json(event, &json));
  has(json, "\"handle\":\"bob\"");
  OK(chancery_event_number(event, &number));
  CHECK(number == 0);
  GIVES(CHANCERY_USAGE, chancery_client_save_file(alice, event, 0, T("/tmp"), &json));
  chancery_event_free(event);
  GIVES(CHANCERY_NO_EVENT, chancery_client_next_event(alice, 0, &event));
  GIVES(CHANCERY_UNKNOWN_RECIPIENT, chancery_client_typing(bob, T("nobody"), false));
}

static void disappearing(void)
{
  struct timespec pause = {0, 200000000};
  char id[ID];
  uint64_t unread = 9;
  int i, gone = 0;
  OK(chancery_client_set_disappearing(alice, T("bob"), 1));
  OK(chancery_client_disappearing(alice, T("bob"), &json));
  has(json, "\"disappears_after_s\":1");
  send("{\"text\":\"The code is 1234\"}", "\"disappears_after_s\":1", id);
  OK(chancery_client_mark_read(bob, T("alice"), UINT64_MAX, &unread));
  for (i = 0; i < 300 && !gone; i++) {
    nanosleep(&pause, NULL);
    OK(chancery_client_history_before(bob, T("alice"), 0, 4, &json));
    gone = !strstr(chancery_string_data(json), "1234");
    chancery_string_free(json);
  }
  CHECK(gone);
  OK(chancery_client_set_disappearing(alice, T("bob"), 0));
  OK(chancery_client_disappearing(alice, T("bob"), &json));
  has(json, "null");
  GIVES(CHANCERY_USAGE, chancery_client_set_disappearing(alice, T("bob"), 400 * 86400));
  GIVES(CHANCERY_UNKNOWN_RECIPIENT, chancery_client_set_disappearing(alice, T("nobody"), 1));
  GIVES(CHANCERY_UNKNOWN_RECIPIENT, chancery_client_disappearing(alice, T("nobody"), &json));
}

static void group(void)
{
  static const char *const wrong[] = {
    "", "{", "[]", "{}", "{\"posting\":\"everybody\"}", "{\"history\":-1}", "{\"heal_s\":\"1d\"}", "{\"retention_s\":0}", "{\"dissolved\":true}",
  };
  chancery_str people[1];
  char id[ID];
  size_t i;
  people[0] = T("bob");
  OK(chancery_group_create(alice, T("Staff"), people, 1, SOON, &json));
  has(json, "done");
  OK(chancery_group_send_message(alice, T("Staff"), T("{\"text\":\"To the staff\"}"), SOON, &json));
  field(json, "id", id, sizeof id);
  chancery_event_free(await(bob, "To the staff"));
  OK(chancery_client_react(bob, T("Staff"), T(id), T("+1"), false, SOON, &json));
  has(json, "sent");
  chancery_event_free(await(alice, "\"emoji\":\"+1\""));
  OK(chancery_client_edit(alice, T("Staff"), T("last"), T("To all staff"), SOON, &json));
  has(json, "sent");
  chancery_event_free(await(bob, "To all staff"));

  for (i = 0; i < sizeof wrong / sizeof *wrong; i++)
    GIVES(CHANCERY_USAGE, chancery_group_set_policy(alice, T("Staff"), T(wrong[i]), SOON, &json));
  OK(chancery_group_set_policy(alice, T("Staff"), T("{\"posting\":\"admins\",\"retention_s\":86400,\"history\":5}"), SOON, &json));
  has(json, "\"state\":\"done\"");
  OK(chancery_group_show(alice, T("Staff"), &json));
  CHECK(strstr(chancery_string_data(json), "\"retention_s\":86400") && strstr(chancery_string_data(json), "\"history\":5"));
  has(json, "\"posting\":\"admins\"");
  GIVES(CHANCERY_GROUP_LIMIT, chancery_group_set_policy(alice, T("Staff"), T("{\"history\":101}"), SOON, &json));
  chancery_event_free(await(bob, "\"act\":\"policy\""));
  GIVES(CHANCERY_GROUP_NOT_ALLOWED, chancery_group_send_message(bob, T("Staff"), T("{\"text\":\"But\"}"), SOON, &json));
  GIVES(CHANCERY_GROUP_NOT_ALLOWED, chancery_group_set_policy(bob, T("Staff"), T("{\"retention_s\":null}"), SOON, &json));
  GIVES(CHANCERY_GROUP_NOT_ALLOWED, chancery_group_heal(bob, T("Staff"), SOON, &json));
  OK(chancery_group_heal(alice, T("Staff"), SOON, &json));
  has(json, "done");
  GIVES(CHANCERY_ORDER_DAMAGED, chancery_group_execute(alice, T("Staff"), T("chancery-order:"), SOON, &json));
  GIVES(CHANCERY_UNKNOWN_RECIPIENT, chancery_group_hand_over(alice, T("Staff"), T("nobody"), SOON, &json));
  OK(chancery_group_hand_over(alice, T("Staff"), T("bob"), SOON, &json));
  has(json, "done");
  OK(chancery_group_show(alice, T("Staff"), &json));
  has(json, "\"role\":\"admin\"");
  GIVES(CHANCERY_GROUP_UNKNOWN, chancery_group_set_policy(alice, T("Nobody"), T("{\"history\":1}"), SOON, &json));
  GIVES(CHANCERY_GROUP_UNKNOWN, chancery_group_heal(alice, T("Nobody"), SOON, &json));
  GIVES(CHANCERY_GROUP_UNKNOWN, chancery_group_hand_over(alice, T("Nobody"), T("bob"), SOON, &json));
  GIVES(CHANCERY_GROUP_UNKNOWN, chancery_group_execute(alice, T("Nobody"), T("chancery-order:"), SOON, &json));
}

int main(int argc, char **argv)
{
  CHECK(argc == 2);
  alice = open_home(argv[1], "alice");
  bob = open_home(argv[1], "bob");
  OK(chancery_client_follow(alice));
  OK(chancery_client_follow(bob));
  what_is_wrong_with_a_message_is_named();
  acts(argv[1]);
  conversations();
  typing();
  disappearing();
  group();
  chancery_client_free(alice);
  chancery_client_free(bob);
  CHECK(chancery_live_handles() == 0);
  return 0;
}
