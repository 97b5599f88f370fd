// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IStudyRegistry} from "../src/interfaces/IStudyRegistry.sol";
import {StudyTest} from "./helpers/StudyTest.sol";

/// @notice Which consents an amendment leaves standing: what was signed cannot come to mean more.
contract StudyFormsTest is StudyTest {
    bytes32 private constant SECOND = "form 2";
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        id = _openStudy(_terms());
    }

    function _counts(bytes32 form) private view returns (bool) {
        return studies.isFormApproved(id, form, false);
    }

    /// @dev Approves an amendment that lists both forms, and says whether consents on the old one still count.
    function _oldFormSurvives(IStudyRegistry.Terms memory terms) private returns (bool survives) {
        uint256 fresh = vm.snapshotState();
        bytes32[] memory forms = new bytes32[](2);
        (forms[0], forms[1]) = (FORM, SECOND);
        uint32 version = _amend(id, terms, forms);
        _approve(id, version, _now() + 1 days);
        survives = _counts(FORM);
        assertTrue(_counts(SECOND), "the new form counts in any case");
        assertEq(studies.study(id).formsFrom, survives ? 1 : 2);
        vm.revertToState(fresh);
    }

    function test_AnUnlistedFormNeverCounts() public view {
        assertTrue(_counts(FORM));
        assertFalse(_counts(SECOND));
        assertFalse(_counts(0));
    }

    function test_TheSameTermsAndNarrowerOnesKeepTheConsents() public {
        assertTrue(_oldFormSurvives(_terms()), "same");
        IStudyRegistry.Terms memory t = _terms();
        t.purposes = 1;
        assertTrue(_oldFormSurvives(t), "fewer purposes");
        t = _terms();
        t.categories = 4;
        assertTrue(_oldFormSurvives(t), "fewer categories");
        t = _terms();
        t.conditions = 7;
        assertTrue(_oldFormSurvives(t), "more conditions kept");
        t = _terms();
        t.access = 1;
        assertTrue(_oldFormSurvives(t), "less access");
        t = _terms();
        t.protocol = "another";
        assertTrue(_oldFormSurvives(t), "another protocol");
        t = _terms();
        t.diseases = _forms(PARENT);
        assertTrue(_oldFormSurvives(t), "fewer diseases");
        t.diseases = new bytes32[](0);
        assertTrue(_oldFormSurvives(t), "no disease");
    }

    function test_EachWideningNeedsNewConsentsAndRelistingDoesNotHelp() public {
        IStudyRegistry.Terms memory t = _terms();
        t.purposes = 16 | 15;
        assertFalse(_oldFormSurvives(t), "more purposes");
        t.purposes = 16;
        assertFalse(_oldFormSurvives(t), "other purposes");
        t = _terms();
        t.categories = 8 | 7;
        assertFalse(_oldFormSurvives(t), "more categories");
        t = _terms();
        t.conditions = 1;
        assertFalse(_oldFormSurvives(t), "a condition dropped");
        t.conditions = 0;
        assertFalse(_oldFormSurvives(t), "all conditions dropped");
        t = _terms();
        t.diseases[1] = "another";
        assertFalse(_oldFormSurvives(t), "another disease");
    }

    function test_MoreAccessNeedsNewConsents() public {
        IStudyRegistry.Terms memory t = _terms();
        t.access = 1;
        _approve(id, _amend(id, t, new bytes32[](0)), _now() + 1 days);
        assertTrue(_counts(FORM));
        t.access = 2;
        _approve(id, _amend(id, t, _forms(SECOND)), _now() + 1 days);
        assertFalse(_counts(FORM));
        assertTrue(_counts(SECOND));
    }

    function test_NarrowingAgainDoesNotBringOldConsentsBack() public {
        IStudyRegistry.Terms memory wide = _terms();
        wide.purposes = 31;
        _approve(id, _amend(id, wide, _forms(SECOND)), _now() + 1 days);
        _approve(id, _amend(id, _terms(), _forms(FORM)), _now() + 1 days);
        assertFalse(_counts(FORM));
        assertTrue(_counts(SECOND));
    }

    function test_AWideningInTwoStepsIsAWidening() public {
        IStudyRegistry.Terms memory t = _terms();
        t.purposes = 31;
        _amend(id, t, _forms(SECOND));
        t.conditions = 7;
        _approve(id, _amend(id, t, _forms("form 3")), _now() + 1 days);
        assertFalse(_counts(FORM));
        assertTrue(_counts("form 3"));
    }

    function test_AWaitingAmendmentsFormDoesNotCountYet() public {
        _amend(id, _terms(), _forms(SECOND));
        assertFalse(_counts(SECOND));
        _approve(id, 1, _now() + 2 days);
        assertFalse(_counts(SECOND));
    }

    /// @dev Otherwise a lead slips a form past her board: let it be rejected, then have anything approved.
    function test_AFormThatTheBoardRejectedNeverCounts() public {
        _amend(id, _terms(), _forms(SECOND));
        _reject(id, 2);
        _approve(id, _amend(id, _terms(), new bytes32[](0)), _now() + 1 days);
        assertFalse(_counts(SECOND), "no approved version lists it");
    }

    /// @dev The same without a rejection: version 2 was replaced before the board looked at it.
    function test_AFormOfAVersionThatWasSkippedNeverCounts() public {
        _amend(id, _terms(), _forms(SECOND));
        _approve(id, _amend(id, _terms(), _forms("form 3")), _now() + 1 days);
        assertTrue(_counts("form 3"));
        assertFalse(_counts(SECOND), "no approved version lists it");
    }

    /// @dev A study that was sent back once, for another reason than its form, has to be able to use that form.
    function test_AFormListedInTheFirstApprovedVersionCounts() public {
        IStudyRegistry.Terms memory t = _terms();
        t.protocol = "sent back";
        id = _propose(t, _forms(FORM));
        _reject(id, 1);
        _approve(id, _amend(id, _terms(), _forms(FORM)), _now() + 1 days);
        assertTrue(_counts(FORM));
    }

    function test_BoardScopeGoesByTheBoardsOwnForms() public {
        assertFalse(studies.isFormApproved(id, FORM, true));
        _accept("broad", true);
        assertTrue(studies.isFormApproved(id, "broad", true));
        assertFalse(studies.isFormApproved(id, "broad", false));
        _accept("broad", false);
        assertFalse(studies.isFormApproved(id, "broad", true));
        assertFalse(studies.isFormApproved("no study", "broad", true));
    }

    function test_AFormIsAcceptedByTheQuorumOnlyAndOnce() public {
        IStudyRegistry.Vote[] memory votes = _votesOf(_acceptHash("broad", true), 0, 1);
        vm.expectRevert(abi.encodeWithSelector(IStudyRegistry.TooFewVotes.selector, 2));
        studies.acceptForm(board, "broad", true, votes);
        votes = _votes(_acceptHash("broad", true));
        vm.expectRevert(IStudyRegistry.BadSignature.selector);
        studies.acceptForm(board, "narrow", true, votes);
        studies.acceptForm(board, "broad", true, votes);
        _accept("broad", false);
        vm.expectRevert(IStudyRegistry.BadSignature.selector);
        studies.acceptForm(board, "broad", true, votes);
    }
}
