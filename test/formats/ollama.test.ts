import { expect, test } from 'vitest';
import { CHAT_TEMPLATES, type Message, renderChat } from '../../src/data/chat-template.ts';
import { modelfile, OLLAMA_TEMPLATES } from '../../src/formats/ollama.ts';

const CONVERSATIONS: Message[][] = [
  [{ role: 'user', content: 'Hello' }],
  [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'First line\nsecond {{ line }}' },
    { role: 'assistant', content: 'No.' },
    { role: 'user', content: 'Why?' },
  ],
];

/**
 * The part of Go's text/template that the templates use, over what Ollama gives them: all messages, and the system
 * message apart.
 */
function renderGo(source: string, messages: readonly Message[]): string {
  const tokens = source.split(/\{\{ (.*?) \}\}/s);
  const system = messages.filter(({ role }) => role === 'system').map(({ content }) => content);
  let at = 0;
  /** Renders up to the matching end. */
  const block = (dot: Record<string, string>, shown: boolean): string => {
    let out = '';
    for (; at < tokens.length; at += 2) {
      out += tokens[at];
      const action = tokens[at + 1];
      if (action === undefined || action === 'end') break;
      const [, operator, field, text] = /^(range|if ne)? ?\.(\w+)(?: "(.*)")?$/.exec(action) ?? [];
      if (!field) throw new Error(`an action that Go may know and this test does not: ${action}`);
      if (operator === undefined) {
        out += dot[field];
        continue;
      }
      at += 2;
      const begin = at;
      const dots =
        operator === 'range' ? messages.map(({ role, content }) => ({ Role: role, Content: content })) : [dot];
      const visible = operator === 'range' || dot[field] !== text;
      let inner = '';
      for (const each of dots) {
        at = begin;
        inner += block(each, visible);
      }
      out += inner;
    }
    return shown ? out : '';
  };
  return block({ System: system.join('\n\n') }, true);
}

test.each(['chatml', 'llama-3.1'] as const)('%s renders as the template that the model is trained with', (name) => {
  for (const messages of CONVERSATIONS) {
    const expected = renderChat(CHAT_TEMPLATES[name], messages, { add_generation_prompt: true });
    expect(renderGo(OLLAMA_TEMPLATES[name].source, messages)).toBe(expected);
  }
});

test('a Modelfile names the files beside it, the template and where answers end', () => {
  const text = modelfile(['model-q4_k_m.gguf', 'model-f16.gguf'], 'chatml');
  expect(text).toMatch(/^FROM \.\/model-q4_k_m\.gguf\n# FROM \.\/model-f16\.gguf\nTEMPLATE """\{\{ range/);
  expect(text).toContain('<|im_start|>assistant\n"""\n');
  expect(text.match(/^PARAMETER stop "(.*)"$/gm)).toEqual([
    'PARAMETER stop "<|im_start|>"',
    'PARAMETER stop "<|im_end|>"',
  ]);
  expect(modelfile(['m.gguf'], null)).toBe('FROM ./m.gguf\n');
});
