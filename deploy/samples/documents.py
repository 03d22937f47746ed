"""The sample documents: their words and their metadata. Persons are invented, codes are examples."""
import os

import form
from form import body, ground, heading

PROVINCE = "ỦY BAN NHÂN DÂN"
COMMUNES = [
    "Phường Rạch Giá", "Phường Vĩnh Thông", "Phường Long Xuyên", "Phường Bình Đức", "Phường Mỹ Thới", "Phường Châu Đốc",
    "Phường Vĩnh Tế", "Phường Tân Châu", "Phường Long Phú", "Phường Hà Tiên", "Phường Tô Châu", "Phường Tịnh Biên",
    "Phường Thới Sơn", "Phường Chi Lăng", "Xã Mỹ Hòa Hưng", "Xã An Phú", "Xã Khánh Bình", "Xã Nhơn Hội", "Xã Phú Hữu",
    "Xã Vĩnh Hậu", "Xã Vĩnh Xương", "Xã Tân An", "Xã Châu Phong", "Xã Phú Tân", "Xã Chợ Vàm", "Xã Châu Phú", "Xã Mỹ Đức",
    "Xã Thạnh Mỹ Tây", "Xã Núi Cấm", "Xã Tri Tôn", "Xã Ba Chúc", "Xã Óc Eo", "Xã Thoại Sơn", "Xã Định Mỹ", "Xã Tây Phú",
    "Xã Chợ Mới", "Xã Cù Lao Giêng", "Xã Kiên Lương", "Xã Hòn Đất", "Xã Giồng Riềng", "Xã Gò Quao", "Xã An Biên",
    "Xã U Minh Thượng", "Xã Vĩnh Thuận", "Đặc khu Phú Quốc", "Đặc khu Thổ Châu", "Đặc khu Kiên Hải",
]


def record(branch, files, number, symbol, type_code, type_name, issued, organ_name, subject, signer, priority=0,
           place="An Giang"):
    """What the local API wants to know of a document (POST /v1/documents, "metadata"), and its files."""
    competence, position, name = signer
    return {"branch": branch, "code": number + ("-" if "/" in symbol else "/") + symbol, "files": files, "metadata": {
        "number": number, "symbol": symbol, "type_code": type_code, "type_name": type_name, "subject": subject,
        "issued": issued, "place": place, "organ_name": organ_name, "priority": priority,
        "signer": {"competence": competence, "position": position, "name": name}}}


def official_letter(folder):
    number, date = "125/UBND-KSTT", "ngày 07 tháng 9 năm 2026"
    reference = "(Kèm theo Công văn số %s %s của Ủy ban nhân dân tỉnh An Giang)" % (number, date)
    stamp = "125/UBND-KSTT; 07/9/2026 15:42:10 +07:00"
    story = form.state_head(
        [], [PROVINCE, "TỈNH AN GIANG"], number, "An Giang, " + date,
        about="rà soát mã định danh và gửi, nhận văn bản điện tử giữa các cơ quan trên địa bàn tỉnh")
    story += form.addressees(["Các sở, ban, ngành tỉnh", "Ủy ban nhân dân các xã, phường, đặc khu"])
    story += [
        body("Thực hiện Quyết định số 28/2018/QĐ-TTg ngày 12 tháng 7 năm 2018 của Thủ tướng Chính phủ về việc gửi, nhận văn "
             "bản điện tử giữa các cơ quan trong hệ thống hành chính nhà nước và Nghị định số 30/2020/NĐ-CP ngày 05 tháng 3 "
             "năm 2020 của Chính phủ về công tác văn thư, Ủy ban nhân dân tỉnh yêu cầu các sở, ban, ngành tỉnh, Ủy ban nhân "
             "dân các xã, phường, đặc khu (sau đây gọi chung là các cơ quan) thực hiện một số nội dung sau:"),
        body("1. Rà soát tên cơ quan, mã định danh điện tử, tên văn thư và người được ủy quyền nhận văn bản ngoài giờ hành "
             "chính của cơ quan mình theo danh sách tại Phụ lục I; thông tin sai hoặc thiếu gửi về Văn phòng Ủy ban nhân dân "
             "tỉnh trước ngày 15 tháng 9 năm 2026."),
        body("2. Văn bản đã ký số được gửi ngay trong ngày, chậm nhất là trong buổi sáng của ngày làm việc tiếp theo; văn bản "
             "có mức độ khẩn được gửi ngay sau khi ký số. Văn bản đã gửi qua hệ thống thì không gửi thêm bản giấy, trừ các "
             "loại quy định tại Phụ lục II."),
        body("3. Văn thư nơi nhận kiểm tra tính đầy đủ, toàn vẹn và xác thực của văn bản trước khi tiếp nhận; trường hợp không "
             "bảo đảm thì trả lại nơi gửi và nêu rõ lý do. Trạng thái xử lý (đã đến, đã tiếp nhận, phân công, đang xử lý, hoàn "
             "thành) được cập nhật trên hệ thống để nơi gửi theo dõi."),
        body("4. Văn phòng Ủy ban nhân dân tỉnh theo dõi, tổng hợp tình hình gửi, nhận văn bản điện tử, báo cáo Chủ tịch Ủy ban "
             "nhân dân tỉnh trước ngày 25 hằng tháng."),
        body("Yêu cầu Thủ trưởng các cơ quan nghiêm túc thực hiện; khó khăn, vướng mắc phản ánh về Văn phòng Ủy ban nhân dân "
             "tỉnh để được hướng dẫn./."),
    ]
    form.close(story, ["Như trên", "CT, các PCT UBND tỉnh", "Trung tâm Phục vụ hành chính công tỉnh", "Cổng TTĐT tỉnh",
                      "Lưu: VT, KSTT"],
               ["TM. ỦY BAN NHÂN DÂN", "KT. CHỦ TỊCH"], ["PHÓ CHỦ TỊCH"], "Trần Minh Phúc", number)
    files = ["cong-van-125-UBND-KSTT.pdf", "cong-van-125-phu-luc-I.pdf", "cong-van-125-phu-luc-II.pdf"]
    author = "Ủy ban nhân dân tỉnh An Giang"
    form.write(os.path.join(folder, files[0]), "Công văn 125/UBND-KSTT", author, story)

    rows = []
    for index, name in enumerate(COMMUNES, 1):
        kind = name.split(" ", 1)[0] if not name.startswith("Đặc khu") else "Đặc khu"
        rows.append([str(index), "UBND " + name[0].lower() + name[1:], "H01.%03d" % (100 + index), kind,
                     "vt%03d@angiang.example" % (100 + index)])
    annex = [form.Note(stamp)] + form.annex_head(
        "Phụ lục I", "DANH SÁCH CƠ QUAN VÀ MÃ ĐỊNH DANH ĐIỆN TỬ CẦN RÀ SOÁT", reference)
    annex.append(form.grid(["STT", "Tên cơ quan", "Mã định danh", "Loại", "Hộp thư văn thư"], rows, [12, 62, 24, 19, 50],
                           centered=(0, 2, 3)))
    form.write(os.path.join(folder, files[1]), "Phụ lục I kèm theo Công văn 125/UBND-KSTT", author, annex)

    rows = [
        ["1", "Văn bản thuộc danh mục bí mật nhà nước", "Không gửi qua hệ thống này; theo quy định của pháp luật về bảo vệ bí mật nhà nước"],
        ["2", "Hồ sơ trình ký có bản vẽ khổ lớn (A3 trở lên)", "Gửi bản điện tử và 01 bản giấy"],
        ["3", "Văn bản gửi cơ quan, tổ chức, cá nhân chưa kết nối hệ thống", "Gửi bản giấy"],
        ["4", "Hợp đồng, biên bản cần chữ ký tay của nhiều bên", "Gửi bản giấy; bản số hóa gửi kèm để biết"],
        ["5", "Văn bản đóng dấu XEM XONG TRẢ LẠI", "Gửi bản điện tử; nơi nhận không sao, không chuyển tiếp"],
        ["6", "Bản sao từ sổ gốc phục vụ tố tụng", "Gửi bản giấy theo yêu cầu của cơ quan tiến hành tố tụng"],
    ]
    annex = [form.Note(stamp)] + form.annex_head(
        "Phụ lục II", "CÁC LOẠI VĂN BẢN GỬI KÈM BẢN GIẤY\nHOẶC KHÔNG GỬI QUA HỆ THỐNG", reference)
    annex.append(form.grid(["STT", "Loại văn bản", "Cách gửi"], rows, [12, 70, 83]))
    form.write(os.path.join(folder, files[2]), "Phụ lục II kèm theo Công văn 125/UBND-KSTT", author, annex)
    return record("state", files, "125", "UBND-KSTT", "22", "Công văn", "2026-09-07", author,
                  "V/v rà soát mã định danh và gửi, nhận văn bản điện tử giữa các cơ quan trên địa bàn tỉnh",
                  ("KT.", "Phó Chủ tịch", "Trần Minh Phúc"))


def telegram(folder):
    number, date = "08/CĐ-UBND", "ngày 21 tháng 10 năm 2026"
    story = form.state_head([], [PROVINCE, "TỈNH AN GIANG"], number, "An Giang, " + date, urgency="HỎA TỐC")
    story += form.state_title("CÔNG ĐIỆN", "Về việc tập trung ứng phó bão số 9 trên vùng biển Phú Quốc - Thổ Châu")
    story.append(form.center("<b>CHỦ TỊCH ỦY BAN NHÂN DÂN TỈNH AN GIANG điện:</b>", 14))
    story.append(form.Spacer(1, 4))
    to = ["Bộ Chỉ huy Quân sự tỉnh, Công an tỉnh", "Sở Nông nghiệp và Môi trường, Sở Xây dựng, Sở Giáo dục và Đào tạo",
          "Đài Khí tượng Thủy văn tỉnh, Cảng vụ Hàng hải An Giang",
          "Ủy ban nhân dân các đặc khu Phú Quốc, Thổ Châu, Kiên Hải và các xã, phường ven biển"]
    for index, name in enumerate(to):
        story.append(form.Paragraph("- %s%s" % (name, "." if index == len(to) - 1 else ";"),
                                    form.style(14, form.TA_LEFT, leftIndent=78, firstLineIndent=-8, leading=18)))
    story += [
        form.Spacer(1, 6),
        body("Theo tin bão khẩn cấp phát lúc 14 giờ ngày 21 tháng 10 năm 2026, tâm bão số 9 ở khoảng 8,6 độ vĩ Bắc, 105,9 độ kinh "
             "Đông, cách đặc khu Thổ Châu khoảng 280 km về phía Đông Nam; sức gió mạnh nhất cấp 9, giật cấp 11. Dự báo từ đêm "
             "21 tháng 10, vùng biển Phú Quốc - Thổ Châu có gió mạnh cấp 7 đến cấp 8, biển động mạnh, sóng cao 4 đến 6 m. Để chủ "
             "động ứng phó, Chủ tịch Ủy ban nhân dân tỉnh yêu cầu:"),
        body("1. Từ 17 giờ ngày 21 tháng 10 năm 2026 cấm tàu cá, tàu du lịch, tàu vận tải hành khách ra khơi cho đến khi có tin bão "
             "cuối cùng. Kêu gọi tàu, thuyền đang hoạt động vào nơi tránh trú, báo cáo số tàu, số người còn trên biển vào lúc "
             "19 giờ và 22 giờ cùng ngày."),
        body("2. Ủy ban nhân dân các đặc khu, xã, phường ven biển hoàn thành việc sơ tán người dân ở lồng bè, nhà tạm, khu vực trũng "
             "thấp, sạt lở trước 22 giờ ngày 21 tháng 10; tổ chức trực ban 24/24 giờ."),
        body("3. Sở Giáo dục và Đào tạo quyết định cho học sinh nghỉ học tại các địa bàn bị ảnh hưởng trong ngày 22 tháng 10."),
        body("4. Bộ Chỉ huy Quân sự tỉnh, Công an tỉnh bố trí lực lượng, phương tiện sẵn sàng cứu nạn, cứu hộ khi có yêu cầu."),
        body("Nhận được Công điện này, yêu cầu các đơn vị khẩn trương thực hiện và báo cáo về Ban Chỉ huy Phòng thủ dân sự tỉnh./."),
    ]
    form.close(story, ["Như trên", "Thủ tướng Chính phủ (để báo cáo)", "Ban Chỉ đạo Phòng thủ dân sự quốc gia",
                      "TT. Tỉnh ủy, TT. HĐND tỉnh", "Báo và PTTH An Giang", "Lưu: VT, KT"],
               ["CHỦ TỊCH"], [], "Lê Hoàng Nam", number)
    files = ["cong-dien-08-CD-UBND.pdf"]
    author = "Ủy ban nhân dân tỉnh An Giang"
    form.write(os.path.join(folder, files[0]), "Công điện 08/CĐ-UBND", author, story)
    return record("state", files, "08", "CĐ-UBND", "23", "Công điện", "2026-10-21", author,
                  "Về việc tập trung ứng phó bão số 9 trên vùng biển Phú Quốc - Thổ Châu", ("", "Chủ tịch", "Lê Hoàng Nam"), 3)


def party_letter(folder):
    number = "05-CV/VPTW"
    story = form.party_head(["BAN CHẤP HÀNH TRUNG ƯƠNG"], ["VĂN PHÒNG"], number, "Hà Nội, ngày 08 tháng 6 năm 2026",
                            about="Về việc gửi, nhận văn bản điện tử<br/>của các cơ quan đảng")
    story += [
        form.Paragraph("<i>Kính gửi:</i>", form.style(14, form.TA_LEFT, leftIndent=70, leading=18)),
        form.Paragraph("- Các tỉnh ủy, thành ủy,", form.style(14, form.TA_LEFT, leftIndent=122, leading=18)),
        form.Paragraph("- Các ban đảng Trung ương,", form.style(14, form.TA_LEFT, leftIndent=122, leading=18)),
        form.Paragraph("- Các đảng ủy trực thuộc Trung ương.", form.style(14, form.TA_LEFT, leftIndent=122, leading=18)),
        form.Spacer(1, 6),
        body("Thực hiện Quy định số 337-QĐ/TW, ngày 27/6/2025 của Ban Bí thư về gửi, nhận văn bản điện tử trên mạng thông tin diện "
             "rộng của Đảng và mạng Internet và Hướng dẫn số 05-HD/VPTW, ngày 27/5/2026 của Văn phòng Trung ương Đảng về thể "
             "thức văn bản của Đảng, Văn phòng Trung ương Đảng đề nghị các cơ quan thực hiện một số việc sau:"),
        body("1. Văn bản không thuộc bí mật nhà nước, đã ký số của người có thẩm quyền và của cơ quan, được gửi bằng văn bản điện tử; "
             "không gửi bản giấy, trừ trường hợp đặc biệt."),
        body("2. Văn thư cơ quan nhận kiểm tra chữ ký số, đăng ký vào sổ văn bản đến và phản hồi tình trạng nhận trong ngày."),
        body("3. Văn bản có dấu chỉ mức độ khẩn được trình ngay khi đến; văn phòng cấp ủy bố trí người trực ngoài giờ."),
        body("4. Văn bản có nội dung bí mật nhà nước thực hiện theo quy định riêng, không gửi qua hệ thống này."),
        body("Đề nghị các cơ quan gửi kết quả thực hiện về Văn phòng Trung ương Đảng trước ngày 30/6/2026."),
    ]
    form.close(story, ["Như trên", "Thường trực Ban Bí thư (để báo cáo)", "Lãnh đạo Văn phòng", "Lưu Văn phòng Trung ương Đảng"],
               ["K/T CHÁNH VĂN PHÒNG"], ["PHÓ CHÁNH VĂN PHÒNG"], "Phạm Quốc Toàn", number, party=True)
    files = ["cong-van-05-CV-VPTW.pdf"]
    form.write(os.path.join(folder, files[0]), "Công văn 05-CV/VPTW", "Văn phòng Trung ương Đảng", story)
    return record("party", files, "05", "CV/VPTW", "", "Công văn", "2026-06-08", "Văn phòng Trung ương Đảng",
                  "Về việc gửi, nhận văn bản điện tử của các cơ quan đảng", ("K/T", "Phó Chánh Văn phòng", "Phạm Quốc Toàn"),
                  place="Hà Nội")


def party_notice(folder):
    number = "37-TB/TU"
    story = form.party_head(["ĐẢNG BỘ TỈNH AN GIANG"], ["TỈNH ỦY"], number, "An Giang, ngày 03 tháng 11 năm 2026", urgency="KHẨN")
    story += form.party_title("THÔNG BÁO", "kết luận của Ban Thường vụ Tỉnh ủy về khắc phục hậu quả bão số 9\n"
                              "và bảo đảm đời sống nhân dân")
    story += [
        body("Tại phiên họp ngày 02/11/2026, sau khi nghe Đảng ủy Ủy ban nhân dân tỉnh báo cáo tình hình thiệt hại do bão số 9 và "
             "ý kiến của các cơ quan liên quan, Ban Thường vụ Tỉnh ủy kết luận như sau:"),
        body("1. Ghi nhận, biểu dương các cấp ủy, chính quyền, Mặt trận Tổ quốc, lực lượng vũ trang và nhân dân đã chủ động ứng phó; "
             "không có thiệt hại về người."),
        body("2. Giao Đảng ủy Ủy ban nhân dân tỉnh chỉ đạo thống kê thiệt hại, hỗ trợ kịp thời các hộ có nhà sập, tốc mái, mất lồng "
             "bè; hoàn thành trước ngày 15/11/2026."),
        body("3. Ban Thường vụ đảng ủy các xã, phường, đặc khu bị ảnh hưởng trực tiếp chỉ đạo dọn vệ sinh môi trường, mở lại "
             "trường học, trạm y tế, khôi phục điện, nước, thông tin liên lạc; không để người dân thiếu ăn, thiếu chỗ ở."),
        body("4. Đề nghị Ban Thường trực Ủy ban Mặt trận Tổ quốc Việt Nam tỉnh vận động, tiếp nhận và phân bổ công khai nguồn ủng hộ."),
        body("5. Giao Văn phòng Tỉnh ủy theo dõi, đôn đốc việc thực hiện Thông báo này, báo cáo Thường trực Tỉnh ủy."),
    ]
    form.close(story, ["Văn phòng Trung ương Đảng (để báo cáo)", "Đảng ủy UBND tỉnh", "Ban Thường trực UBMTTQVN tỉnh",
                      "Các đảng ủy trực thuộc Tỉnh ủy", "Các đồng chí Tỉnh ủy viên", "Lưu Văn phòng Tỉnh ủy"],
               ["T/L BAN THƯỜNG VỤ"], ["CHÁNH VĂN PHÒNG"], "Võ Thanh Hà", number, party=True)
    files = ["thong-bao-37-TB-TU.pdf"]
    form.write(os.path.join(folder, files[0]), "Thông báo 37-TB/TU", "Tỉnh ủy An Giang", story)
    return record("party", files, "37", "TB/TU", "", "Thông báo", "2026-11-03", "Tỉnh ủy An Giang",
                  "Kết luận của Ban Thường vụ Tỉnh ủy về khắc phục hậu quả bão số 9 và bảo đảm đời sống nhân dân",
                  ("T/L", "Chánh Văn phòng", "Võ Thanh Hà"), 1)


def front_plan(folder):
    number, date = "12/KH-MTTQ-BTT", "ngày 05 tháng 11 năm 2026"
    story = form.state_head(["ỦY BAN MẶT TRẬN TỔ QUỐC", "VIỆT NAM TỈNH AN GIANG"], ["BAN THƯỜNG TRỰC"], number,
                            "An Giang, " + date)
    story += form.state_title("KẾ HOẠCH", "Vận động, tiếp nhận và phân bổ nguồn ủng hộ\nđồng bào bị thiệt hại do bão số 9")
    story += [
        ground("Thực hiện Thông báo số 37-TB/TU, ngày 03/11/2026 của Tỉnh ủy An Giang thông báo kết luận của Ban Thường vụ Tỉnh ủy về "
               "khắc phục hậu quả bão số 9 và bảo đảm đời sống nhân dân;"),
        body("Ban Thường trực Ủy ban Mặt trận Tổ quốc Việt Nam tỉnh xây dựng Kế hoạch vận động, tiếp nhận và phân bổ nguồn ủng hộ như sau:"),
        heading("I. MỤC ĐÍCH, YÊU CẦU"),
        body("1. Kêu gọi cán bộ, công chức, viên chức, người lao động, doanh nghiệp và Nhân dân trong, ngoài tỉnh chia sẻ khó khăn với "
             "đồng bào vùng bão."),
        body("2. Việc tiếp nhận, phân bổ bảo đảm công khai, minh bạch, đúng đối tượng, không trùng lặp."),
        heading("II. NỘI DUNG VÀ TIẾN ĐỘ"),
        form.Spacer(1, 4),
        form.grid(["TT", "Nội dung", "Đơn vị thực hiện", "Thời gian"], [
            ["1", "Ra lời kêu gọi ủng hộ", "Ban Thường trực UBMTTQVN tỉnh", "06/11/2026"],
            ["2", "Tiếp nhận tiền, hàng qua Ban Vận động Quỹ cứu trợ", "Ban Công tác xã hội", "07/11 - 30/11/2026"],
            ["3", "Lập danh sách hộ cần hỗ trợ", "MTTQ các xã, phường, đặc khu", "Trước 12/11/2026"],
            ["4", "Phân bổ đợt 1", "Ban Vận động Quỹ cứu trợ tỉnh", "15/11/2026"],
            ["5", "Công khai kết quả trên Cổng thông tin điện tử", "Văn phòng", "Hằng tuần"]],
            [10, 66, 52, 38]),
        heading("III. TỔ CHỨC THỰC HIỆN"),
        body("1. Các tổ chức chính trị - xã hội tỉnh vận động đoàn viên, hội viên tham gia; gửi kết quả về Ban Thường trực trước ngày "
             "30 tháng 11 năm 2026."),
        body("2. Ban Thường trực Ủy ban Mặt trận Tổ quốc Việt Nam các xã, phường, đặc khu triển khai Kế hoạch này, báo cáo tiến độ vào "
             "thứ Sáu hằng tuần./."),
    ]
    form.close(story, ["UBTW MTTQ Việt Nam (để báo cáo)", "Thường trực Tỉnh ủy", "Các tổ chức CT-XH tỉnh",
                      "MTTQ các xã, phường, đặc khu", "Lưu: VT, BTT"],
               ["TM. BAN THƯỜNG TRỰC"], ["PHÓ CHỦ TỊCH"], "Nguyễn Thị Kim Yến", number)
    files = ["ke-hoach-12-KH-MTTQ-BTT.pdf"]
    author = "Ủy ban Mặt trận Tổ quốc Việt Nam tỉnh An Giang"
    form.write(os.path.join(folder, files[0]), "Kế hoạch 12/KH-MTTQ-BTT", author, story)
    return record("front", files, "12", "KH-MTTQ-BTT", "10", "Kế hoạch", "2026-11-05", author,
                  "Vận động, tiếp nhận và phân bổ nguồn ủng hộ đồng bào bị thiệt hại do bão số 9",
                  ("TM.", "Phó Chủ tịch", "Nguyễn Thị Kim Yến"))


def make_all(folder):
    """Writes every sample into `folder`; returns their metadata, first file of each the document itself."""
    form.register_fonts()
    return [make(folder) for make in (official_letter, telegram, party_letter, party_notice, front_plan)]
