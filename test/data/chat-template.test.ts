import { describe, expect, it } from 'vitest';
import { CHAT_TEMPLATES, chatTemplate, type Message, renderChat } from '../../src/data/chat-template.ts';
import { UserError } from '../../src/errors.ts';

const turns: Message[] = [
  { role: 'user', content: ' hi {{ x }} ' },
  { role: 'assistant', content: 'yo' },
];
const withSystem: Message[] = [{ role: 'system', content: 'be brief\n' }, ...turns];

describe('CHAT_TEMPLATES', () => {
  it('writes ChatML', () => {
    const text = '<|im_start|>user\n hi {{ x }} <|im_end|>\n<|im_start|>assistant\nyo<|im_end|>\n';
    expect(renderChat(CHAT_TEMPLATES.chatml, turns)).toBe(text);
    expect(renderChat(CHAT_TEMPLATES.chatml, withSystem, { add_generation_prompt: true })).toBe(
      `<|im_start|>system\nbe brief\n<|im_end|>\n${text}<|im_start|>assistant\n`,
    );
    expect(renderChat(CHAT_TEMPLATES.chatml, [], { add_generation_prompt: true })).toBe('<|im_start|>assistant\n');
  });

  it('writes the turns of Llama 3.1 as its model card shows them', () => {
    const head =
      '<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n' +
      'Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n';
    const tail =
      '<|start_header_id|>user<|end_header_id|>\n\nhi {{ x }}<|eot_id|>' +
      '<|start_header_id|>assistant<|end_header_id|>\n\nyo<|eot_id|>';
    const options = { bos_token: '<|begin_of_text|>' };
    expect(renderChat(CHAT_TEMPLATES['llama-3.1'], turns, options)).toBe(`${head}<|eot_id|>${tail}`);
    expect(renderChat(CHAT_TEMPLATES['llama-3.1'], withSystem, { ...options, add_generation_prompt: true })).toBe(
      `${head}be brief<|eot_id|>${tail}<|start_header_id|>assistant<|end_header_id|>\n\n`,
    );
    expect(renderChat(CHAT_TEMPLATES['llama-3.1'], [], options)).toBe(`${head}<|eot_id|>`);
  });
});

describe('renderChat', () => {
  const render = (source: string) => renderChat({ name: 'own', source }, turns, { eos_token: '</s>' });

  it("renders a model's own template", () => {
    expect(render('{%- for m in messages -%}{{ m.role[0] }}:{{ m.content | trim }}{{ eos_token }}{%- endfor -%}')).toBe(
      'u:hi {{ x }}</s>a:yo</s>',
    );
    expect(render('{{ date_string }}')).toBe('26 Jul 2024');
  });

  it.each([
    ['{% for %}', /chat template own: got /],
    ["{{ raise_exception('no system here') }}", /chat template own: got .*no system here/],
  ])('refuses %j in one line', (source, message) => {
    expect(() => render(source)).toThrow(UserError);
    expect(() => render(source)).toThrow(message);
  });
});

describe('chatTemplate', () => {
  it('finds a template by name', () => {
    expect(chatTemplate('chatml')).toBe(CHAT_TEMPLATES.chatml);
    expect(() => chatTemplate('constructor')).toThrow(/expected one of chatml, llama-3\.1/);
  });
});
