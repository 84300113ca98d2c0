// Holds dashboards against a JSON Schema made from @grafana/schema's types, and units against those
// that Grafana formats: node schema.mjs FILE...  Prints what is wrong; exit code 1 if anything is.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import Ajv from 'ajv';
import { createGenerator } from 'ts-json-schema-generator';

// The package as a whole needs a browser; of this file only the language of dates does.
globalThis.navigator ??= { languages: ['en'] };
const require = createRequire(import.meta.url);
const { getCategories } = require('./node_modules/@grafana/data/dist/cjs/valueFormats/categories.cjs');
const units = new Set(getCategories().flatMap((group) => group.formats.map((unit) => unit.id)));
const schema = createGenerator({ path: 'strict.ts', tsconfig: 'tsconfig.json', skipTypeCheck: true, additionalProperties: false }).createSchema('*');
const ajv = new Ajv({ strict: false, allErrors: true });
ajv.addSchema({ ...schema, $id: 'grafana' });

let wrong = 0;
const say = (where, what) => {
  wrong += 1;
  console.log(`${where}: ${what}`);
};
const hold = (where, type, value) => {
  const validate = ajv.getSchema(`grafana#/definitions/${type}`);
  if (!validate) {
    say(where, `no such type of panel: ${type}`);
  } else if (!validate(value)) {
    validate.errors.forEach((e) => say(`${where}${e.instancePath}`, `${e.message} ${JSON.stringify(e.params)}`));
  }
};
for (const file of process.argv.slice(2)) {
  const board = JSON.parse(readFileSync(file, 'utf8'));
  hold(file, 'Board', board);
  for (const panel of board.panels) {
    const where = `${file} ${panel.title}`;
    hold(where, `Panel_${panel.type.replace('-', '_')}`, panel);
    const { defaults, overrides } = panel.fieldConfig ?? { defaults: {}, overrides: [] };
    const asked = overrides.flatMap((o) => o.properties).filter((p) => p.id === 'unit').map((p) => p.value);
    [defaults.unit, ...asked].filter((unit) => unit && !units.has(unit)).forEach((unit) => say(where, `no such unit: ${unit}`));
  }
}
console.log(wrong ? `${wrong} faults` : `${process.argv.length - 2} dashboards hold`);
process.exit(wrong ? 1 : 0);
