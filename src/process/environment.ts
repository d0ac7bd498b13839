import { ConfigMistakes } from './config-mistakes.ts';
import { isLogLevel, type LogLevel } from './log.ts';

/** All that is taken from the environment: every other value has one source, the process file. */
export interface Environment {
  /** `CONFIG_FILE`: path of the process file. */
  readonly configFile: string | undefined;
  /** `LOG_LEVEL`: wins over the file's `log.level`, so that a pod can be looked at closely for an hour. */
  readonly logLevel: LogLevel | undefined;
}

/** Throws ConfigMistakes. An empty variable is as good as none. */
export function readEnvironment(variables: Readonly<Record<string, string | undefined>>): Environment {
  const level = variables['LOG_LEVEL']?.toLowerCase() || undefined;
  if (level !== undefined && !isLogLevel(level)) {
    throw new ConfigMistakes('environment', [
      { path: 'LOG_LEVEL', message: 'must be one of debug, info, warn, error' },
    ]);
  }
  return { configFile: variables['CONFIG_FILE'] || undefined, logLevel: level };
}
