//! Responses to refused requests: the table of failures, word by word. A test names a failure by its code,
//! followed by the words that its texts quote: `too_large 1 MiB`.

use serde_json::json;

use crate::{
    drivers::rows,
    readme::failures_of_the_program,
    support::{Reply, assert_same},
};

/// Code, status, text in Chinese and in English; `{}` is replaced by the quoted words.
const FAILURES: &str = "\
already_uploaded | 409 | 上传失败: 文件已经上传过 | Upload failed: the file was uploaded before
body_malformed | 400 | 上传失败: 请求内容不是有效的 multipart 表单 | Upload failed: not a valid multipart form: {}
body_mangled | 422 | 上传失败: 网关把二进制内容转成了文本，请在网关的二进制媒体类型 (binaryMediaTypes) 中加入 multipart/form-data 并重新部署 | Upload failed: a gateway turned the binary body into text; add multipart/form-data to its binary media types (binaryMediaTypes) and deploy it again
body_truncated | 400 | 上传失败: 请求内容不完整，上传中途断开 | Upload failed: the body ended before the form's closing boundary
busy | 503 | 上传失败: 服务器繁忙，请稍后再试 | Upload failed: the server is busy, try again later
class_id_invalid | 400 | 上传失败: imageClassId 必须是非负整数 | Upload failed: imageClassId must be a whole number, 0 or more
client_too_slow | 408 | 上传失败: 上传太慢，连接已关闭 | Upload failed: the body came too slowly, the connection is closed
direct_disabled | 404 | 上传失败: 没有开启大文件直传 | Upload failed: direct uploads are not switched on
encoding_refused | 415 | 上传失败: 请求内容不能压缩，请去掉 Content-Encoding | Upload failed: a body with a Content-Encoding (such as gzip) is not accepted
field_too_large | 400 | 上传失败: 表单字段不能超过 65536 字节 | Upload failed: a field may have at most 65536 bytes
file_empty | 400 | 上传失败: 文件是空的 | Upload failed: the file is empty
file_missing | 400 | 上传失败: 请选择要上传的文件 | Upload failed: the form holds no file
folder_invalid | 400 | 上传失败: 目录名不合法 | Upload failed: the folder's name is not allowed
guest_denied | 403 | 您没有权限访问，请先注册或登录 | Guests may not upload: register or log in first
host_invalid | 400 | 请求的 Host 不合法 | The Host header is sent twice or names a user
internal | 500 | 上传失败: 服务器内部错误 | Upload failed: an error inside the server
location_kept | 415 | 上传失败: 文件可能含有无法清除的位置信息 | Upload failed: the file may hold a location that cannot be removed
method_not_allowed | 405 | 不支持的请求方法 | The method is not allowed at this address
not_found | 404 | 请求的地址不存在 | Nothing is at this address
not_multipart | 415 | 上传失败: 请求类型必须是 multipart/form-data | Upload failed: the Content-Type must be multipart/form-data
parameter_invalid | 400 | 上传失败: 参数 {} 不正确 | Upload failed: parameter {} is missing or not valid
part_too_small | 400 | 上传失败: 除最后一块外，每块不能小于存储桶的下限（S3 为 5 MiB，OSS 为 100 KiB） | Upload failed: a part other than the last is smaller than the bucket takes (S3: 5 MiB, OSS: 100 KiB)
range_not_satisfiable | 416 | 请求的范围超出了文件的长度 | The range begins beyond the end of the file, which has {} bytes
recall_expired | 400 | 消息超过{}，不能撤回 | The file was sent more than {} ago and cannot be recalled
store_refused | 502 | 上传失败: 存储服务拒绝了请求 | Upload failed: the storage service refused the request
store_timeout | 504 | 上传失败: 存储超时，请稍后重试 | Upload failed: the storage service took too long, try again later
store_unavailable | 502 | 上传失败: 存储服务暂时不可用，请稍后重试 | Upload failed: the storage service is not available now, try again later
text_too_long | 400 | 文本不能超过 1024 字节 | The text may have at most 1024 bytes
ticket_invalid | 401 | 上传失败: 上传凭证不合法或已过期 | Upload failed: the ticket is not valid or has expired
token_expired | 401 | Token已过期！请重新获取令牌 | The token has expired
token_invalid | 401 | Token 令牌不合法！ | The token is not valid
token_missing | 401 | 您没有权限访问即时通讯接口 | A token is needed and none was sent
too_large | 413 | 上传失败: 文件不能超过 {} | Upload failed: a file may have at most {}
too_many_files | 400 | 上传失败: 一次最多上传 {} 个文件 | Upload failed: at most {} files at a time
too_many_requests | 429 | 上传失败: 上传太频繁，请稍后再试 | Upload failed: too many uploads, try again later
type_refused | 415 | 上传失败: 不支持的文件类型 ({}) | Upload failed: this type of file is not accepted ({})
upload_incomplete | 409 | 上传失败: 文件还没有上传完成 | Upload failed: the file has not been uploaded yet
wrong_field | 400 | 上传失败: Expected field 'img', but got '{}' | Upload failed: Expected field 'img', but got '{}'";

/// Quoted words that are translated. Names of formats are not.
const WORDS: &str = "\
unknown | 未知类型
empty file | 空文件
OLE file | OLE 文件
Linux program | Linux 程序
Android program | Android 程序
Windows program | Windows 程序
macOS program | macOS 程序
Windows installer | Windows 安装程序
Linux package | Linux 安装包
Java class | Java 类文件
browser extension | 浏览器扩展
Ogg without a known sound | 不含已知音频的 Ogg
Canon raw | 佳能 RAW 照片
script | 脚本
server page | 服务器脚本页面
HLS playlist | HLS 播放列表
ffmpeg playlist | ffmpeg 播放列表
markup | 标记语言
font | 字体";

#[test]
fn the_table_is_that_of_the_program() {
    let listed = rows(FAILURES).map(|[code, status, _, _]| (status.to_owned(), code.to_owned()));
    assert_same(
        ("FAILURES of tests/it/refusals.rs", &listed.collect()),
        ("src/api/error.rs", &failures_of_the_program()),
    );
}

#[test]
fn both_texts_of_a_failure_say_the_same_each_in_its_language() {
    let is_chinese = |letter: char| ('\u{4E00}'..='\u{9FFF}').contains(&letter);
    let digits = |text: &str| text.replace(|c: char| !c.is_ascii_digit(), "");
    for [code, _, chinese, english] in rows(FAILURES) {
        assert!(chinese.contains(is_chinese), "{code}");
        assert!(english.is_ascii() && english.contains(' '), "{code}");
        let is_upload = chinese.starts_with("上传失败: ");
        assert_eq!(is_upload, english.starts_with("Upload failed: "), "{code}");
        if code != "class_id_invalid" {
            assert_eq!(digits(chinese), digits(english), "{code}");
        }
        if !["body_malformed", "range_not_satisfiable"].contains(&code) {
            let quoted = |text: &str| text.matches("{}").count();
            assert_eq!(quoted(chinese), quoted(english), "{code}");
        }
    }
}

/// Translates the words of an English text.
fn chinese(words: &str) -> String {
    if let Some([_, translated]) = rows(WORDS).find(|[english, _]| *english == words) {
        return translated.to_owned();
    }
    let damaged = words.strip_prefix("damaged ");
    let words = damaged.map_or(words.to_owned(), |format| format!("损坏的 {format}"));
    let units = [
        (" bytes", " 字节"),
        (" minutes", "分钟"),
        (" seconds", "秒"),
        (" minute", "分钟"),
        (" second", "秒"),
    ];
    units.iter().fold(words, |words, (english, chinese)| {
        words.replace(english, chinese)
    })
}

/// Whether `text` is the template with these words in it, or with any words if there are none.
fn fits(text: &str, template: &str, words: Option<&str>) -> bool {
    match (template.split_once("{}"), words) {
        (None, _) => text == template,
        (Some((before, after)), Some(words)) => text == format!("{before}{words}{after}"),
        (Some((before, after)), None) => text.starts_with(before) && text.ends_with(after),
    }
}

impl Reply {
    /// Asserts that this is the whole envelope of a failure.
    #[track_caller]
    pub(crate) fn assert_refused(&self, failure: &str) {
        if let Err(answer) = self.refused(failure) {
            panic!("not {failure}, but {answer}");
        }
    }

    /// Returns `Err` with the response if it is not this failure's.
    pub(crate) fn refused(&self, failure: &str) -> Result<(), String> {
        let (code, words) = match failure.split_once(' ') {
            Some((code, words)) => (code, Some(words)),
            None => (failure, None),
        };
        let row = rows(FAILURES).find(|row: &[_; 4]| row[0] == code);
        let [_, status, in_chinese, in_english] =
            row.unwrap_or_else(|| panic!("{code} has no row in FAILURES of {}", file!()));
        let answer: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let text = |key: &str| answer[key].as_str().unwrap_or_default();
        let header = |name| self.headers.get(name).and_then(|value| value.to_str().ok());
        let expected = json!({
            "msg": "fail", "data": answer["data"], "message": answer["message"], "code": code,
            "request_id": header("x-request-id"),
        });
        let is_as_expected = answer == expected
            && self.status.as_str() == status
            && header("content-type") == Some("application/json; charset=utf-8")
            && fits(text("data"), in_chinese, words.map(chinese).as_deref())
            && fits(text("message"), in_english, words);
        if is_as_expected {
            Ok(())
        } else {
            Err(format!(
                "{} {}\nFAILURES in {} says {status} {code} {in_chinese:?} {in_english:?}",
                self.status,
                String::from_utf8_lossy(&self.body),
                file!(),
            ))
        }
    }
}
