/* The same with raw bytes, which the compiler shows again with its errors. */
#error ]0;title [2J ##[error]forged::error::forged
::error::forged by a vertical tab;
  ::error::forged by a line that is shown;
int x::error::forged;
