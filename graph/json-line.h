/* In which line of a JSON text something stands: parsers give values, not places. */
#ifndef PARA_GRAPH_JSON_LINE_H
#define PARA_GRAPH_JSON_LINE_H

/* The line, from 1 on, of entry number `entry` of the list that the outermost object calls `list`, or of that entry's
 * field, which may also be an attribute (a field of its field "attrs"). `list` NULL: of a field of the outermost
 * object. `field` NULL: of the entry itself. What isn't there has the line of what would hold it. The text is JSON that
 * a parser has found good. */
int para_json_line(const char *text, const char *list, int entry, const char *field);

/* Where the value of a field of the outermost object begins; NULL if it has none. */
const char *para_json_member(const char *text, const char *field);

#endif
