/*
 * chancery.h: end-to-end encrypted messaging that an organisation owns. Link with -lchancery; made by cbindgen from crates/ffi, do not edit.
 *
 * A WHOLE PROGRAM. It says something to Bob, and shows the next thing that happens. `enrolled` is made once by `chancery enroll --home enrolled
 * --key-file enrolled.key LINK`, or by chancery_client_new_enrolled.
 *
 *     chancery_key *key = NULL; chancery_client *client = NULL; chancery_event *event = NULL; chancery_string *json = NULL, *sent = NULL;
 *     uint64_t number;
 *     chancery_code code = chancery_key_new_file(chancery_text("enrolled.key"), false, &key);
 *     if (!code) code = chancery_client_new(chancery_text("enrolled"), key, &client);
 *     if (!code) code = chancery_client_follow(client);
 *     if (!code) code = chancery_client_send(client, chancery_text("bob"), chancery_text("Tea?"), NULL, 0, 30000, &sent);
 *     if (!code) code = chancery_client_next_event(client, 60000, &event);
 *     if (!code) code = chancery_event_json(event, &json);
 *     if (!code) puts(chancery_string_data(json));
 *     if (!code && !chancery_event_number(event, &number)) chancery_client_take_events(client, number);
 *     if (code) fprintf(stderr, "%s: %s\n", chancery_strerror(code), chancery_last_detail());
 *     chancery_string_free(sent); chancery_string_free(json); chancery_event_free(event); chancery_client_free(client); chancery_key_free(key);
 *
 * examples/c/chat.c is a program that is of use.
 *
 * OWNERSHIP. What a function hands out (`out_...`, and every `chancery_..._new`) is yours until the function that ends in `_free` and has its
 * name; freeing NULL, or the same again, does nothing. Handles do not depend on each other: a key may be freed once a client is open, and events
 * and pages outlive their client. What is handed in stays yours, and is needed only until the function returns. Outputs are written only if
 * the code is CHANCERY_OK; they are never read, so they may hold anything before.
 *
 * HANDLES are no addresses. One that was freed gives CHANCERY_HANDLE_CLOSED, one of another kind or a wild pointer CHANCERY_WRONG_HANDLE, and
 * nothing is touched; no handle is ever given out twice. All other pointers must be what they are said to be.
 *
 * ERRORS. Every function that can fail returns a code: CHANCERY_OK, which is 0, or one of the numbers below, which are those of every
 * language and never change. chancery_strerror says it to people, chancery_code_name to programs, chancery_last_detail says what it lay in, and
 * chancery_is_retryable whether waiting helps. errno means nothing here. NULL where it is not allowed is CHANCERY_NULL_ARGUMENT, always. A panic
 * of the library, which is a bug, is caught: the call returns CHANCERY_PANICKED, as every later one with this client does but chancery_client_close; free it.
 *
 * TEXT is UTF-8, and goes in with its length: chancery_text("...") for a string of C. What comes out is a chancery_string, with a NUL behind it:
 * mostly JSON, of exactly the form that the command `chancery ... --json` prints. Fields may be added to it; ignore those that you do not know.
 *
 * TIME is in milliseconds. 0 does not wait, and CHANCERY_FOREVER does so for ever.
 *
 * THREADS. Each function says from which threads it may be called; mostly from any, and from many at once with the same client. Each client has
 * threads of its own. chancery_client_close wakes whoever waits. Callbacks are called on other threads, and must not call functions of a
 * client: those that wait return CHANCERY_WITHIN_CALLBACK. After fork, only the process that made a client may use it.
 *
 * EVENTS come through chancery_client_next_event, from a thread that waits there, or from a loop that polls chancery_client_fd. An event that was
 * not taken (chancery_client_take_events) when a program was killed comes again, with the same identifiers: act, then take. Only that
 * somebody is writing is kept nowhere.
 *
 * THE FUNCTIONS stand in the order in which one learns of them: texts, the library, keys; a client, sending, events; replies, edits, reactions and
 * forms; conversations, histories, what others are told; groups; members, the organisation and one's own devices. `with` names a conversation,
 * by a member or a group, and `message` a message of it.
 *
 * ENDING. chancery_client_close, then join the threads that use the client, then chancery_client_free. In any other order nothing
 * breaks either.
 */
